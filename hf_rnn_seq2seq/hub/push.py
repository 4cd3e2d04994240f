"""Push a trained folder to the Hub: everything its users need, in one commit."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.errors import HfHubHTTPError

from .folder import HubFiles, collect_files, complete_folder

logger = logging.getLogger(__name__)

T = TypeVar("T")


class PushError(OSError):
    """The Hub did not take a push; the message says what stands there now."""


@dataclass(frozen=True)
class Push:
    """What was pushed.

    Attributes:
        repo_id (`str`): full name of the repository.
        url (`str`): of the commit.
        commit (`str`): its hash.
        files (`HubFiles`): what it holds.
    """

    repo_id: str
    url: str
    commit: str
    files: HubFiles


def push_folder(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    message: str = "Upload model",
    attempts: int = 4,
) -> Push:
    """Complete a model's folder, create the repository if there is none, and upload all in one commit.

    Args:
        folder (`Path`): as `train`, `finetune` or `save_pretrained` (model and tokenizer) leave it.
        repo_id (`str`): `"user/name"`, or `"name"` for your own.
        private (`bool`, *optional*): whether a new repository is private; your default on the Hub if not given.
        revision (`str`, *optional*): branch to push to, created if there is none; `main` if not given.
        token (`str`, *optional*): with the right to write; the one you logged in with if not given.
        message (`str`): of the commit.
        attempts (`int`): how often a step is tried when the connection drops.

    Raises:
        ValueError: if the folder is not a complete model; nothing was sent then.
        PushError: if the Hub refuses or fails; the message says what stands there.
    """
    complete_folder(folder)
    return push_files(
        lambda full_id: collect_files(folder, model_id=full_id),
        repo_id,
        "model",
        private=private,
        revision=revision,
        token=token,
        message=message,
        attempts=attempts,
    )


def push_files(
    collect: Callable[[str], HubFiles],
    repo_id: str,
    repo_type: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    message: str = "Upload model",
    attempts: int = 4,
) -> Push:
    """Upload the files that `collect` returns for the full name of the repository; see `push_folder`."""
    api = HfApi(token=token)
    steps = _Steps(repo_id, attempts)
    if "/" not in repo_id:
        repo_id = f"{steps.run('asking whose token it is', api.whoami)['name']}/{repo_id}"
    # what is wrong with the files must show before anything is made on the Hub
    files = collect(repo_id)
    is_new = not steps.run("looking for the repository", lambda: api.repo_exists(repo_id, repo_type=repo_type))
    options = {"space_sdk": "gradio"} if repo_type == "space" else {}
    steps.run(
        "creating the repository",
        lambda: api.create_repo(repo_id, private=private, repo_type=repo_type, exist_ok=True, **options),
    )
    branch = revision or "main"
    if revision is not None:
        steps.run(
            f"creating the branch {revision}",
            lambda: api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True),
        )

    def read_head() -> str:
        return api.repo_info(repo_id, repo_type=repo_type, revision=branch).sha

    parent = steps.run("reading the branch", read_head)

    def say_outcome() -> str:
        """What stands on the Hub after a failed upload; an answer that was lost may have followed a commit."""
        try:
            head = read_head()
        except Exception:
            return f"Whether a commit was made is not known: look at {repo_id} before you push again."
        if head != parent:
            return f"The commit {head} was made all the same."
        return f"The new repository {repo_id} is empty: nothing was committed." if is_new else "Nothing was committed."

    def commit():
        # an operation remembers what was uploaded, a dropped one wrongly so: every attempt has its own
        operations = [
            CommitOperationAdd(path_in_repo=name, path_or_fileobj=content) for name, content in files.files.items()
        ]
        return api.create_commit(repo_id, operations, commit_message=message, repo_type=repo_type, revision=branch)

    made = steps.run("uploading", commit, say_outcome)
    there = steps.run(
        "reading the commit",
        lambda: api.list_repo_files(repo_id, repo_type=repo_type, revision=made.oid),
        lambda: f"The commit {made.oid} was made.",
    )
    missing = sorted(files.files.keys() - set(there))
    if missing:
        raise PushError(f"{repo_id} lacks {', '.join(missing)} after the commit {made.oid}; push again.")
    return Push(repo_id, made.commit_url, made.oid, files)


class _Steps:
    """Runs the steps of a push: again where the connection drops, and with an error that says where it stands."""

    def __init__(self, repo_id: str, attempts: int):
        self.repo_id, self.attempts = repo_id, attempts

    def run(
        self, name: str, step: Callable[[], T], say_outcome: Callable[[], str] = lambda: "Nothing was committed."
    ) -> T:
        for attempt in range(1, self.attempts + 1):
            try:
                return step()
            except Exception as error:
                cause = _find_network_error(error)
                if isinstance(error, RuntimeError) and cause is None:
                    # what hf_xet, which sends large files, raises for everything
                    raise PushError(f"It failed while {name} ({error}). {say_outcome()} Push again.") from error
                if cause is None:
                    raise
                if isinstance(cause, HfHubHTTPError):
                    raise PushError(self._explain(name, cause, say_outcome())) from error
                if attempt == self.attempts:
                    raise PushError(
                        f"The connection dropped {attempt} times while {name} ({cause}). {say_outcome()} Push "
                        "again when the network is back."
                    ) from error
                logger.warning("The connection dropped while %s (%s); trying again.", name, cause)
                time.sleep(2 ** (attempt - 1) / 2)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _explain(self, name: str, error: HfHubHTTPError, outcome: str) -> str:
        status = error.response.status_code
        if status == 401:
            cause, remedy = "did not accept the token", "Log in with `hf auth login`, or give a valid token."
        elif status == 403:
            cause = f"does not let this token write to {self.repo_id}"
            remedy = "Use a token with the right to write there, or another repository."
        elif status >= 500:
            cause, remedy = "failed", "Push again later; what was uploaded is not sent twice."
        else:
            cause, remedy = "refused", str(error).strip().splitlines()[-1]
        return f"The Hub {cause} (status {status}) while {name}. {outcome} {remedy}"


def _find_network_error(error: BaseException | None) -> BaseException | None:
    """The dropped connection or the Hub's refusal behind an error, where there is one."""
    while error is not None:
        # by name: huggingface_hub's HTTP client is httpx or httpx2, as its version has it
        is_dropped = any(kind.__name__ == "TransportError" for kind in type(error).__mro__)
        if is_dropped or isinstance(error, HfHubHTTPError):
            return error
        error = error.__cause__ or error.__context__
    return None
