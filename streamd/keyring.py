"""`streamd keys`: what is done with a folder of keys, and what of it is shown."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from streamd import keys
from streamd.sheets import Sheet


def obey(args: Namespace) -> tuple[list[Sheet], object]:
    """Do what a command line of `keys` says; return what to print, as sheets and as data.

    Raises:
        KeysError: keys that lack, that are none, or that others could read or change.
    """
    folder: Path = args.keys or keys.keys_folder()
    match args.action:
        case "new":
            return _told(f"made; the secret key is in {folder / keys.SECRET}", keys.make(folder).public)
        case "authorize":
            roles = [role for role in keys.ROLES if getattr(args, role)] + [f"speak:{name}" for name in args.speak]
            now, who = keys.authorize(folder, args.key, roles, args.who)
            lines = (
                f"'{args.key}'{f' ({who})' if who else ''} may now: {', '.join(now)}",
                f"written to {folder / keys.AUTHORIZED}; a running daemon reads it when it is reloaded",
            )
            return [Sheet(line) for line in lines], None
        case "trust":
            keys.trust(folder, args.host, args.key)
            return [Sheet(f"written to {folder / keys.DAEMONS}")], None
    return _list(folder)


def _told(what: str, public: str) -> tuple[list[Sheet], object]:
    lines = (
        what,
        f"public key: '{public}'",
        f"a daemon lets it in:     streamd keys authorize '{public}' --listen",
        f"others believe a daemon that has it:     streamd keys trust HOST '{public}'",
    )
    return [Sheet(line) for line in lines], None


def _list(folder: Path) -> tuple[list[Sheet], object]:
    pair = keys.find(folder)
    public = pair.public if pair else None
    authorized, trusted = keys.list_authorized(folder), keys.list_trusted(folder)
    sheets = [
        Sheet(f"public key: '{public}'" if public else f"no keys in {folder}; `streamd keys new` makes them"),
        Sheet("authorized", ("key", "roles", "who"), [(key, " ".join(roles), who) for key, roles, who in authorized]),
        Sheet("daemons", ("host", "key"), list(trusted.items())),
    ]
    data = {
        "folder": str(folder),
        "public": public,
        "authorized": [{"key": key, "roles": roles, "who": who} for key, roles, who in authorized],
        "daemons": trusted,
    }
    return sheets, data
