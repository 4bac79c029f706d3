"""Archives that somebody else made, or that were changed: refused in words, before anything is written."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands.saved_machine import Machine, Run, saved


def remade(archive: Path, change: Callable[[Any], object]) -> None:
    """Change the manifest of an archive, with checksums that are right."""
    with tarfile.open(archive) as tar:
        entries = [(entry.name, _content(tar, entry)) for entry in tar.getmembers()]
    manifest = json.loads(entries[0][1])
    changed = change(manifest)
    text = json.dumps(manifest if changed is None else changed).encode()
    entries[:2] = [("manifest.json", text), ("manifest.json.sha256", hashlib.sha256(text).hexdigest().encode())]
    with tarfile.open(archive, "w") as tar:
        for name, content in entries:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(entry)
    assert file is not None
    return file.read()


def keys_of(manifest: Any) -> Any:
    return next(one for one in manifest["members"] if one["part"] == "keys")


@pytest.mark.parametrize(
    "place", ["/x/../../../../../../../../../../etc/evil", "relative/evil", "//etc/evil", "/", "/etc/./evil", ""]
)
def test_a_place_that_leads_elsewhere_is_refused(small: Machine, run: Run, tmp_path: Path, place: str) -> None:
    archive = saved(small, run)
    remade(archive, lambda manifest: keys_of(manifest).update(place=place))

    code, _, err = run("restore", archive, "--to", tmp_path / "a" / "trial")

    assert (code, (tmp_path / "a").exists()) == (2, False)
    assert f"place {place}" in err


def test_the_name_of_a_dump_cannot_lead_elsewhere(small: Machine, run: Run, tmp_path: Path) -> None:
    archive = saved(small, run)
    remade(archive, lambda manifest: keys_of(manifest).update(name="keys/..", kind="dump"))

    assert run("restore", archive, "--to", tmp_path / "trial")[0] == 2
    assert not (tmp_path / "trial").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [1],
        lambda _: "text",
        lambda manifest: manifest.pop("members") and None,
        lambda manifest: manifest["members"].append(3),
        lambda manifest: keys_of(manifest).pop("sha256") and None,
        lambda manifest: keys_of(manifest).update(kind="program"),
        lambda manifest: keys_of(manifest).update(mode=0o4755),
        lambda manifest: keys_of(manifest).update(mode="rw"),
        lambda manifest: keys_of(manifest).update(owner="r"),
        lambda manifest: keys_of(manifest).update(bytes="x"),
        lambda manifest: keys_of(manifest).update(place=3),
    ],
)
def test_a_manifest_of_another_shape_is_refused(small: Machine, run: Run, change: Callable[[Any], object]) -> None:
    archive = saved(small, run)
    remade(archive, change)

    code, _, err = run("restore", archive, "--dry-run", "--force")

    assert code == 2
    assert f"{archive}: the manifest is not one of aoii backup" in err


def test_a_manifest_that_a_later_version_has_added_to_is_read(small: Machine, run: Run) -> None:
    archive = saved(small, run)
    remade(archive, lambda manifest: [one.update(more=1) for one in (manifest, keys_of(manifest))] and manifest)

    assert run("restore", archive, "--dry-run", "--force")[0] == 0


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_file_is_refused(small: Machine, run: Run, kind: bytes) -> None:
    archive = saved(small, run)

    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname = kind, "/etc/passwd"

    changed(archive, change)

    code, _, err = run("restore", archive, "--force")

    assert code == 2
    assert str(archive) in err


@pytest.mark.parametrize("size", [1 << 30, 1 << 62])
def test_a_member_that_claims_a_huge_size_fills_no_disk(small: Machine, run: Run, tmp_path: Path, size: int) -> None:
    archive = saved(small, run)
    whole = archive.read_bytes()
    claims = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": f"0,1,{size - 1},1",
              "GNU.sparse.size": str(size)}  # fmt: skip
    for pax in ({"size": str(size)}, claims):
        archive.write_bytes(whole)
        changed(archive, lambda entry, pax=pax: entry.pax_headers.update(pax))  # type: ignore[misc]

        assert run("restore", archive, "--to", tmp_path / "trial")[0] == 2
        assert not (tmp_path / "trial").exists()


def changed(archive: Path, change: Callable[[tarfile.TarInfo], object]) -> None:
    """Change the header of the member with the keys; its content, and all that it says of itself elsewhere, stay."""
    with tarfile.open(archive) as tar:
        entries = [(entry, _content(tar, entry)) for entry in tar.getmembers()]
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry, content in entries:
            if entry.name.startswith("keys/"):
                change(entry)
            assert tar.fileobj is not None
            header = entry.tobuf(tarfile.PAX_FORMAT)
            tar.fileobj.write(header + content + bytes(-len(content) % 512))
        tar.fileobj.write(bytes(1024))
