"""A client's models process: the only one with network and keys. It asks providers what agents ask models, and says what it cost.

python -P -m mai.daemon.models STATE RUN client/models
"""

import contextlib
import sys
from random import random

from mai.agents import talks
from mai.agents.decider import room_bytes
from mai.agents.events import Event
from mai.agents.linked import Linked
from mai.agents.loop import Ready, run_process
from mai.agents.shell import Shell, now_ms
from mai.daemon import posting
from mai.daemon.attempts import Failure, Post, Question
from mai.daemon.calling import AttemptBegun, AttemptEnded, Call, CallEnded, CallTaken, Dispatch, Over, Resume
from mai.daemon.calls import CallsDecider, restore
from mai.daemon.credentials import CredentialFault, Credentials, directory_of
from mai.daemon.providing import Ended, Providing
from mai.daemon.transcripts import Transcripts
from mai.sandbox.place import Place

PACKAGES = ("openai", "httpx2")  # what providing.py loads beside the work: they make the bytes of a request
NOTES_BYTES = 12 << 10  # reason and notes beside an answer


class ModelsProcess(Linked):
    """Model calls at work."""

    decider: CallsDecider
    packages = PACKAGES

    def __init__(self, place: Place, name: str) -> None:
        super().__init__(place, name)
        self.decider = self.blank()
        self.providing = Providing(self.mandate.client, place.local_model.parent, Credentials(directory_of(place.state)))
        self.room_bytes = room_bytes(self.limit_bytes) - min(NOTES_BYTES, self.limit_bytes // 4)
        self.transcripts = Transcripts(self.ledger)
        self.keys = Credentials(directory_of(place.state))  # of our own: the thread has its own
        self.begun: dict[str, int] = {}  # attempts that start after the commit: call -> which
        self.posts: list[Post] = []  # their bytes
        self.turned = False
        self.dial()
        self.shell = Shell(
            self.ledger,
            self.decider,
            self.organisation.digest,
            self.send,
            seen=self._seen,
            noticed=self.noticed,
            burst=self.burst,
        )
        self.poller.register(self.providing, 1)
        self._restore()

    def started(self) -> None:
        """Journal that a new life begins; what it asks names that record, which says with which libraries."""
        super().started()
        self.transcripts.life = self.ledger.seq

    def blank(self) -> CallsDecider:
        """A decider that knows nothing."""
        return CallsDecider(self.mandate, lambda address: len(self.shell.texts.text(address).encode()))

    def _restore(self) -> None:
        """Load the state, and let open calls begin again."""
        restore(self.decider.state, self.ledger.load)
        self.shell.restore()
        self.started()
        self.shell.feed(Resume())
        self.decider.stirred = True

    # -- what the shell tells
    def _seen(self, event: Event) -> None:
        match event:
            case CallTaken():
                self.shell.texts.hold(f"in/{event.task}", talks.named(event.inquiry, self.shell.texts.text))
            case AttemptBegun():
                self.begun[event.task] = event.n
            case AttemptEnded():
                self.posts = [post for post in self.posts if post.call != event.task]
                self.providing.cancel(event.task, event.n)
            case CallEnded():
                self.shell.texts.drop(f"in/{event.task}")
                self.done += 1
                self.progress_ms = now_ms()

    # -- the turn
    def take(self, ready: Ready) -> None:
        """What Mai sends, and what providers have answered."""
        super().take(ready)
        for ended in self.providing.ended():
            self._over(ended)

    def _over(self, ended: Ended) -> None:
        fault, key = ended.failure, f"out/{ended.call}"
        call = self.decider.state.calls.get(ended.call)
        if ended.status and call and call.attempt and call.attempt.n == ended.n:
            self.shell.apply(self.transcripts.response(call, ended))
        if fault:
            over = Over(
                ended.call, ended.n, tokens=fault.tokens, why=fault.why or "no answer", again=fault.again, counts=fault.counts,
                sick=fault.sick, charged=fault.charged, wait_ms=fault.wait_ms, share=random(),
            )  # fmt: skip
            self.shell.feed(over)
            return
        address = self.shell.texts.put(key, ended.text)  # from here the Thought takes it along
        self.shell.feed(Over(ended.call, ended.n, address, len(ended.text.encode()), tokens=ended.tokens))
        self.shell.texts.drop(key)

    def work(self) -> bool:
        """Let those begin that can."""
        while self.decider.stirred or 0 < self.decider.wake_ms <= now_ms():
            self.decider.stirred = False
            self.shell.feed(Dispatch())
            self._write_down()
        return False

    def _write_down(self) -> None:
        """What the attempts that have just begun will send goes on record, in the same commit."""
        begun, self.begun = self.begun, {}
        for id_, n in begun.items():
            call = self.decider.state.calls[id_]
            question = self._question(call)
            try:
                pieces = posting.pieces(question)
            except Failure as fault:
                self.shell.feed(Over(id_, n, why=fault.why, again=fault.again, sick=fault.sick, charged=fault.charged))
                continue
            self.transcripts.request(call, posting.url(question.provider), pieces, self._written)
            self.posts.append(Post(id_, n, question.provider, b"".join(pieces), self.room_bytes))

    def _written(self, event: Event) -> int:
        self.shell.apply(event)
        return self.ledger.seq

    def after(self) -> None:
        """Attempts that are on the disk start. The thread does with the second turn: the first says that we are ready."""
        for post in self.posts:
            self.providing.begin(post)
        self.posts.clear()
        if self.turned:
            self.providing.start()
        self.turned = True

    def _question(self, call: Call) -> Question:
        """What one attempt asks, without any key that stands in it."""
        models, inquiry = self.decider.models, call.inquiry
        self._learn_keys()

        def text(address: str) -> str:
            return self.keys.scrub(self.shell.texts.text(address))

        model = models.model(call.model)
        assert model is not None and call.attempt is not None, "an attempt that the decider has begun"
        provider = models.provider(call.attempt.provider)
        assert provider is not None, "an attempt that the decider has begun"
        return Question(
            provider=provider, model=call.attempt.model or provider.kind,
            messages=tuple(text(address) for address in talks.messages(inquiry, self.shell.texts.text)),
            tools=text(inquiry.tools) if inquiry.tools else "", schema=text(inquiry.schema) if inquiry.schema else "",
            output_tokens=call.output_tokens, temperature=model.temperature, seed=model.seed,
        )  # fmt: skip

    def _learn_keys(self) -> None:
        """The keys as they are now; one that cannot be read is for the attempt to say."""
        for provider in self.decider.models.providers:
            with contextlib.suppress(CredentialFault):
                if provider.key and self.keys.has(provider.key):
                    self.keys.read(provider.key)

    def queue(self) -> int:
        """Open calls."""
        return len(self.decider.state.calls)

    def close(self) -> None:
        """Stop asking, hang up."""
        self.providing.close()
        super().close()


if __name__ == "__main__":
    sys.exit(run_process(sys.argv[1:], ModelsProcess))
