"""The generated pages: every command is on its page, and old names are not."""

from aoii.commands import reference


def test_every_command_explains_itself() -> None:
    page = reference.cli_page()

    for command in ("demo", "edge", "gateway", "server", "csv", "edgelog", "web", "export", "doctor", "lab"):
        assert f"### aoii {command}" in page


def test_an_old_name_of_a_command_is_on_no_page() -> None:
    page = reference.cli_page()

    assert "aoii keys finish-rotation" in page
    assert "aoii certs ca" in page
    assert "settle" not in page
    assert "aoii certs authority" not in page


def test_each_generated_file_has_one_text() -> None:
    assert reference.pages() == reference.pages()
