"""A stand-in for Grafana, for tests only: never shipped, and no Grafana.

Where the real package cannot be downloaded, the dry run installs this one on Grafana's machine, by the same user-data,
from a signed repository of the run's own. It takes the real one's place where the deployment touches it: the package's
name and version, user, unit, directories, port 3000, provisioning files, environment, admin password. It draws nothing.

| file | what it is |
|---|---|
| `settings.py` | what it takes from its environment |
| `stock.py` | its database, and the data sources and dashboards that the provisioning files give it |
| `server.py`, `proxy.py` | the HTTP side: health, metrics, login, lists; questions handed on to the stores |
| `__main__.py` | the program, packed into one file for the machine |
| `package.py` | the Debian package |
| `repository.py` | the signed repository |

    repository = grafana_standin.repository.build(folder, version="13.2.2")
    repository.root, repository.fingerprint

By hand, in `scripts/`: `python3 -m dryrun.grafana_standin.repository FOLDER VERSION`.
"""
