"""The stage of `demo`: a temporary folder, a Kafka and a worker in it, and nothing of them left afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from deploy import local_broker
from deploy.local_broker import BrokerError, LocalBroker, free_port
from deploy.local_broker.kafka import class_path
from engine.cli.errors import UserError
from engine.cli.leaving import Leaving
from engine.worker.settings import PREFIX, Settings

GROUP: Final = "segment-engine"
PATIENCE_SECONDS: Final = 10
"""For the worker to finish its commits on SIGTERM; it takes about one."""
LOG_LINES: Final = 15


class Stage:
    """A context manager; `start` brings Kafka up, `start_worker` a worker. Raises UserError where they do not come."""

    def __init__(self, leaving: Leaving, say: Callable[[str], None]) -> None:
        self._leaving = leaving
        self._say = say
        self._broker: LocalBroker | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._lifeline = -1
        self.folder = Path()
        self.settings = Settings()

    def __enter__(self) -> Self:
        with self._told():
            class_path(self._say)  # the download, before there is anything to clean up
        with self._leaving.hold():
            self.folder = Path(tempfile.mkdtemp(prefix="segment-engine-demo-"))
        return self

    def __exit__(self, *_: object) -> None:
        self._leaving.close()
        self.stop_worker()
        if self._broker is not None:
            self._broker.close()
        if self.folder != Path():
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Starts Kafka, and makes `settings` those of the demo, whatever the environment says."""
        with self._told(), self._leaving.hold():
            self._broker = LocalBroker(self.folder / "kafka", say=self._say)
            self._broker.start()
        self.settings = Settings(
            brokers=self._broker.brokers, group=GROUP, http_port=free_port(), data_dir=self.folder / "worker"
        )

    def start_worker(self) -> None:
        """Starts `segment-engine worker` as a process of its own, which ends when this one does in any way."""
        settings = self.settings
        env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        env |= {
            f"{PREFIX}BROKERS": settings.brokers,
            f"{PREFIX}GROUP": settings.group,
            f"{PREFIX}HTTP_PORT": str(settings.http_port),
            f"{PREFIX}DATA_DIR": str(settings.data_dir),
        }
        keeper = Path(local_broker.__file__).with_name("keeper.py")
        with self._leaving.hold(), self.log.open("ab") as log:
            held, self._lifeline = os.pipe()
            try:
                self._worker = subprocess.Popen(
                    [
                        *(sys.executable, "-I", "-S", str(keeper), str(held), str(PATIENCE_SECONDS)),
                        *(sys.executable, "-m", "engine.cli.main", "worker"),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=log,
                    pass_fds=(held,),
                    env=env,
                    start_new_session=True,  # Ctrl-C in the terminal is for this process alone
                )
            finally:
                os.close(held)

    @property
    def log(self) -> Path:
        """What the worker wrote."""
        return self.folder / "worker.log"

    def check_worker(self) -> None:
        """Raises UserError, with the end of its log, when the worker has ended."""
        if self._worker is not None and self._worker.poll() is not None:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
            told = "\n".join(lines)
            raise UserError(f"The worker ended with code {self._worker.returncode}. The end of its log:\n{told}")

    def stop_worker(self) -> None:
        """SIGTERM, and SIGKILL when it does not end; returns when it is gone."""
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        if self._worker is not None:
            self._worker.wait()

    def _told(self) -> _Told:
        return _Told()


class _Told:
    """What the broker says of itself is the user's to mend."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, BrokerError):
            raise UserError(str(error)) from None
