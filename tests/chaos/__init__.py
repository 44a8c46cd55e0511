"""Everything dies, again and again, while people write: what was promised has to hold nevertheless.

`python -m tests.chaos --seed N` starts PostgreSQL, two web processes, two workers and a door, stand-ins for Twilio and
a mail server, people who write mails in the chat, and their programs, which send mails through the door; kills, freezes
and disturbs all of it for a while; lets it settle; and compares what was put in with transcripts, promises, the
stand-in's log, what the programs heard, and the mailboxes (`audit`).
"""
