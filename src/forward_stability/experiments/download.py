"""Files from elsewhere: fetched, gone on with after a break, and checked."""

import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from tqdm.auto import tqdm

from forward_stability.errors import InputError


def check(path: Path, md5: str, mend: str) -> None:
    """Raise InputError unless the file has the MD5 sum."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        size = path.stat().st_size
        raise InputError(
            f"{path} ({size:,} bytes) is damaged: MD5 {found}, expected {md5}: delete it and {mend}"
        )


def fetch(url: str, path: Path, md5: str, progress: bool = True) -> None:
    """Download a file, going on where an earlier try stopped, and check its MD5 sum.

    What has come so far is kept beside it under ``.part``. The progress bar says how long it will
    take: the original host of CIFAR was slowed to about an hour in June 2026, a mirror helps.

    Raises:
        InputError: if the host cannot be reached, or the file has another checksum.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            resumed = response.status == 206
            done = have if resumed else 0
            length = response.headers.get("Content-Length")
            bar = tqdm(
                total=done + int(length) if length else None,
                initial=done,
                unit="B",
                unit_scale=True,
                desc=path.name,
                disable=not progress or None,
            )
            with bar, part.open("ab" if resumed else "wb") as file:
                while block := response.read(1 << 16):
                    file.write(block)
                    bar.update(len(block))
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: the part is already whole
            raise InputError(f"cannot download {url}: {error}; try --mirror") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise InputError(
            f"the download of {url} broke off ({error}); run the command again to go on, "
            "or try --mirror"
        ) from error
    check(part, md5, "run the command again")
    part.replace(path)
