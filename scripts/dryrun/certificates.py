"""The run's own certificate authority, and the certificate that the edge shows under AWS's names.

Made anew for each run by openssl and valid for a few days, so that a machine image that trusts it by mistake does not
do so for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dryrun import host

VALID_DAYS = 3


@dataclass(frozen=True)
class Certificates:
    """Paths of the files that `make` wrote."""

    authority: Path
    """The CA's certificate: what Terraform, the machines and the operator trust."""
    certificate: Path
    key: Path


def names(region: str, grafana_host: str) -> list[str]:
    """Every name the edge answers to.

    A wildcard stands for one label only, hence a line for each depth: services without a region (iam), with one (sts),
    buckets as host names, with and without region.
    """
    return [
        "*.amazonaws.com",
        f"*.{region}.amazonaws.com",
        "*.s3.amazonaws.com",
        f"*.s3.{region}.amazonaws.com",
        f"*.s3-control.{region}.amazonaws.com",
        grafana_host,
    ]


def make(folder: Path, region: str, grafana_host: str) -> Certificates:
    """Writes a new authority and server certificate into `folder` (made, readable by its owner only).

    Raises host.CommandFailed with openssl's own words when it refuses.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority, authority_key = folder / "ca.crt", folder / "ca.key"
    request, certificate, key = folder / "server.csr", folder / "server.crt", folder / "server.key"
    extensions = folder / "server.ext"
    extensions.write_text(
        "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        f"subjectAltName={','.join('DNS:' + name for name in names(region, grafana_host))}\n"
    )
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    days = ["-days", str(VALID_DAYS)]
    # fmt: off
    _openssl("req", "-x509", *new_key, "-keyout", str(authority_key), "-out", str(authority), *days,
             "-subj", "/CN=Cairn dry run, this run only",
             "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0", "-addext", "keyUsage=critical,keyCertSign")
    _openssl("req", "-new", *new_key, "-keyout", str(key), "-out", str(request), "-subj", "/CN=amazonaws.com")
    _openssl("x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", str(authority_key),
             "-CAcreateserial", "-out", str(certificate), *days, "-extfile", str(extensions))
    # fmt: on
    key.chmod(0o600)
    # Nothing is signed after this point, so the authority's key has no reason to exist.
    authority_key.unlink()
    return Certificates(authority, certificate, key)


def _openssl(*arguments: str) -> None:
    host.run(["openssl", *arguments])
