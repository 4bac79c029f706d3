"""`aoii backup` and `aoii restore`: the options for saving what a machine has, and for putting it back."""

import argparse

from aoii.commands.arguments import Commands, file_path, whole
from aoii.core.errors import InputError
from aoii.runtime import logs

PARTS = ("settings", "keys", "outbox", "dead-letters", "database")  # as backup_parts.NAMES, which imports stations
KEEP_LIMIT = 100_000

BACKUP = """\
Save what this machine has, in one archive: settings; keys, certificates and password files; outbox; dead letters; and
the database, SQLite or MariaDB. What there is, and where, the settings of its stations say.

It is safe while the stations run. What was written is read back: each checksum is compared, SQLite checks its files,
the outbox is restored for trial, and so is a dump, where the database allows it. Older archives are removed only after
that.
"""
BACKUP_EXAMPLES = """\
The archive has passwords and keys in it, and mode 0600: keep it where nobody else reads it. A part that should be there
and cannot be saved is an error, and no archive is made; --without says that it is meant. Exit code: 0 if all of it was
saved, and what was restored for trial came back; else 2. What was not tried is named.

  aoii backup                                  into BACKUP_DIR
  aoii backup --to /mnt/usb --keep 14          there; the newest 14 archives of this machine stay
  aoii backup --without database               on a gateway's machine that the settings of a server are on, too
"""
RESTORE = """\
Put back what `aoii backup` has saved: every file to the place that it came from, and the dump into the database.

Checksums are compared first. Nothing is put back while a station runs, nor over something that differs, without
--force. Stop the stations of this machine before, and start them afterwards.

An outbox is not put back as it was, because sequence numbers would be given twice. Its readings go into a new one.
"""
RESTORE_EXAMPLES = """\
With --force, files that are in the way are renamed and stay; outbox and dead letters are put together with those that
are there; tables of MariaDB are replaced, which needs a user who may make and drop tables, in the guides aoii_admin.

  aoii restore ARCHIVE --dry-run                            check the archive, and say what would be done
  aoii restore ARCHIVE --to /tmp/trial                      put every file below that folder, and change nothing else
  aoii restore ARCHIVE                                      all of it, on a new machine, as root
  aoii --env-file admin.env restore ARCHIVE --only database
"""


def add_commands(commands: Commands) -> None:
    """Add `aoii backup` and `aoii restore`."""
    form = argparse.RawDescriptionHelpFormatter
    backup = commands.add_parser(
        "backup",
        help="save settings, keys, outbox, dead letters and database in one archive, while the stations run",
        description=BACKUP,
        epilog=BACKUP_EXAMPLES,
        formatter_class=form,
    )
    backup.add_argument("--to", type=file_path, metavar="DIR", help="the folder for the archive; default: BACKUP_DIR")
    keep = "archives of this machine in which each part stays, this one included; older ones go; default: all stay"
    backup.add_argument("--keep", type=whole(1, KEEP_LIMIT), metavar="N", help=keep)
    left_out = "leave this part out: %(choices)s; may be repeated"
    backup.add_argument("--without", action="append", choices=PARTS, default=[], metavar="PART", help=left_out)
    backup.set_defaults(run=_backup)

    restore = commands.add_parser(
        "restore",
        help="put back what `aoii backup` has saved",
        description=RESTORE,
        epilog=RESTORE_EXAMPLES,
        formatter_class=form,
    )
    restore.add_argument("archive", type=file_path, metavar="ARCHIVE", help="the .tar that `aoii backup` made")
    restore.add_argument("--to", type=file_path, metavar="DIR", help="put files below DIR; a dump becomes a file there")
    restore.add_argument("--dry-run", action="store_true", help="only check the archive, and say what would be done")
    restore.add_argument("--force", action="store_true", help="also over what exists and differs")
    which = restore.add_mutually_exclusive_group()
    only = "only this part: %(choices)s; may be repeated"
    which.add_argument("--only", action="append", choices=PARTS, default=[], metavar="PART", help=only)
    which.add_argument("--without", action="append", choices=PARTS, default=[], metavar="PART", help=left_out)
    restore.set_defaults(run=_restore)


def _backup(options: argparse.Namespace) -> int:
    from aoii.commands import backup_actions

    logs.configure("backup", "info", as_json=False)
    return backup_actions.backup(options.env_file, options.to, options.keep, options.without)


def _restore(options: argparse.Namespace) -> int:
    from aoii.commands import restore_actions, restore_steps

    logs.configure("restore", "info", as_json=False)
    parts = set(options.only or PARTS) - set(options.without)
    if not parts:
        raise InputError("every part is left out", "leave out fewer with --without")
    wish = restore_steps.Wish(options.archive, options.to, options.dry_run, options.force, frozenset(parts))
    return restore_actions.restore(options.env_file, wish)
