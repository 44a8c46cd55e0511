import threading
from sqlalchemy import event as e
from tests.botkit import *
import pytest
@pytest.fixture
def kit(database_url, tmp_path):
    with Kit(database_url, tmp_path, providers=table_of_providers(tmp_path)) as k: yield k
def test_stale(kit):
    kit.say("hi"); 
    code = kit.invite()
    first = kit.inbound(f"code {code}")
    second = kit.inbound(ADDRESS)
    # the first turn is stopped before its commit, the second begins meanwhile
    go, there = threading.Event(), threading.Event()
    real = conversations.save
    import bot.turns as t
    def slow(db, *a):
        real(db, *a)
        if not there.is_set():
            there.set(); go.wait(5)
    t.conversations.save = slow
    a = threading.Thread(target=kit.parts.turns.receive, args=(first,)); a.start(); there.wait(5)
    b = threading.Thread(target=kit.parts.turns.receive, args=(second,)); b.start(); time.sleep(1); go.set(); a.join(); b.join()
    t.conversations.save = real
    print(kit.envelope())
    print(kit.transcript())
