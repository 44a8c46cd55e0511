"""The desk for tests: a member on WhatsApp (the recorder), staff in a channel of Slack, and the bot between them."""

from datetime import timedelta

from bot.store import promises
from bot.store.engine import reading
from tests.slackkit import TEAM, SlackKit

DESK = "G0DESK"
SAM, RITA = "U0SAM", "U0RITA"
NEAR = timedelta(seconds=12)


class DeskKit(SlackKit):
    """A kit with a desk; `Sam` and `Rita` are in its channel."""

    def __init__(self, database_url, home, *, providers=None, **settings):
        desk = {"SUPPORT_TEAM": TEAM, "SUPPORT_CHANNEL": DESK, "SUPPORT_CONTACT": ""}
        super().__init__(database_url, home, providers=providers, **{**desk, **settings})
        self.slack.user(TEAM, SAM, "sam", real_name="Sam")
        self.slack.user(TEAM, RITA, "rita", real_name="Rita")
        self.slack.channel(TEAM, DESK, "desk", [self.workspace.bot_user, SAM, RITA], private=True)

    def settle(self):
        """All is done that is due within the next seconds; time goes from one promise to the next."""
        until = self.clock.now() + NEAR
        while True:
            self.work()
            with reading(self.engine) as db:
                due = promises.next_due(db)
            if due is None or due > until:
                break
            self.clock.time = max(self.clock.now(), due)
        self.clock.time = until

    # --- what stands in the channel ---

    def root(self):
        """The root of the newest case."""
        return next(one for one in reversed(self.slack.channel_messages(TEAM, DESK)) if not one.thread_ts)

    def thread(self):
        """What the bot says in the newest case's thread."""
        return [one.shown for one in self.slack.thread(TEAM, DESK, self.root().ts)[1:] if not one.mine]

    def told(self):
        """The same as one text."""
        return "\n".join(self.thread())

    # --- what people do ---

    def asks_for_a_person(self):
        """Ana is a member and wants a person."""
        self.join()
        self.say("person")
        self.settle()

    def writes(self, text, who=SAM):
        """Staff write into the thread; the name of the message."""
        answer = self.slack.say(TEAM, who, text, channel=DESK, thread_ts=self.root().ts)
        assert answer.ok
        self.settle()
        return answer.payload["event"]["ts"]

    def taps(self, label, who=SAM):
        """Staff tap or choose something of the newest case."""
        assert self.slack.tap(TEAM, who, label, where=DESK).ok

    def does(self, label, who=SAM):
        """The same, and all that follows."""
        self.taps(label, who)
        self.settle()

    def opens(self, label, who=SAM):
        """Staff open a window; what stands in it."""
        self.taps(label, who)
        return self.slack.shown(self.slack.wait_for(lambda: self.slack.modal(TEAM, who)))

    def fills(self, values, who=SAM):
        """Staff fill in the window that they have open and send it; what is wrong, by field."""
        self.slack.type_in(TEAM, who, values)
        self.slack.submit(TEAM, who)
        return self.slack.field_errors(TEAM, who)
