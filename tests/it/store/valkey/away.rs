//! A Valkey that is away for a while: killed, stopped, cut off, not there yet, or brought back as it was before.

use super::{Opened, with};
use crate::{
    store::every_place::state_at,
    support::{
        valkey::{Traffic, Valkey, Way},
        wait::until,
    },
};
use jobshim::store::StoreError;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_cut_off_stops_answering_by_what_it_knows_before_a_change_is_done_without_it() {
    let Some(valkey) = Valkey::start("cut", &[]) else {
        return;
    };
    let way = Way::to(valkey.port());
    let cut = Opened::at(with(&way.url(), |config| config.max_stale = Duration::ZERO))
        .await
        .expect("a store");
    let other = Opened::at(state_at(&valkey.url())).await.expect("a store");
    other.put("word", 1).await.expect("it ends").expect("it is done");
    assert_eq!(cut.get("word"), Some(1));
    for traffic in [Traffic::Stands, Traffic::Cut] {
        way.is(traffic);
        other
            .put("word", 2)
            .await
            .expect("it ends")
            .expect("it is done without the one that is cut off");
        let error = cut
            .store
            .confirm()
            .await
            .expect_err("it does not know what was changed");
        assert!(error.may_pass(), "{error}");
        let refused = cut
            .put("word", 3)
            .await
            .expect("it ends")
            .expect_err("it cannot be stored");
        assert!(refused.may_pass(), "{refused}");
        way.is(Traffic::Flows);
        until("it is there again", async || cut.store.confirm().await.is_ok()).await;
        until(
            "a change that was sent before the cut is either in force or not",
            async || cut.get("word") == other.get("word"),
        )
        .await;
        other.put("word", 1).await.expect("it ends").expect("it is done");
        assert_eq!(cut.get("word"), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_away_what_is_known_is_good_for_as_long_as_is_allowed() {
    let Some(mut valkey) = Valkey::start("stale", &[]) else {
        return;
    };
    let max_stale = Duration::from_secs(3);
    let one = Opened::at(with(&valkey.url(), |config| config.max_stale = max_stale))
        .await
        .expect("a store");
    one.put("word", 1).await.expect("it ends").expect("it is done");
    for how in ["KILL", "STOP"] {
        let begun = Instant::now();
        match how {
            "KILL" => valkey.kill(),
            _ => valkey.signal("STOP"),
        }
        until("it is refused that a write be stored", async || {
            one.store.confirm_for_write().await.is_err()
        })
        .await;
        one.store.confirm().await.expect("what is known is still good");
        assert!(begun.elapsed() < max_stale, "too slow a machine to tell");
        until("what is known is good no more", async || {
            one.store.confirm().await.is_err()
        })
        .await;
        assert!(
            begun.elapsed() >= max_stale - Duration::from_millis(200),
            "{:?}",
            begun.elapsed()
        );
        match how {
            "KILL" => valkey.restart(),
            _ => valkey.signal("CONT"),
        }
        until("it is there again", async || {
            one.store.confirm_for_write().await.is_ok()
        })
        .await;
        assert_eq!(one.get("word"), Some(1));
        one.put("word", 1).await.expect("it ends").expect("it is done");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_not_there_at_the_start_is_waited_for() {
    let Some(mut valkey) = Valkey::start("late", &[]) else {
        return;
    };
    valkey.kill();
    let one = Opened::at(state_at(&valkey.url()))
        .await
        .expect("a store that is waited for");
    assert!(matches!(one.store.confirm().await, Err(StoreError::NotReached)));
    valkey.restart();
    until("it was reached", async || one.store.confirm().await.is_ok()).await;
    one.put("word", 1).await.expect("it ends").expect("it is done");
    assert_eq!(one.get("word"), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_brought_back_from_an_older_copy_is_what_it_is_for_all() {
    let Some(mut valkey) = Valkey::start("older", &[]) else {
        return;
    };
    let way = Way::to(valkey.port());
    let one = Opened::at(state_at(&valkey.url())).await.expect("a store");
    let other = Opened::at(state_at(&way.url())).await.expect("a store");
    one.put("kept", 1).await.expect("it ends").expect("it is done");
    let copy = valkey.copied("older");
    for nth in 0..5 {
        let lost = one.put(&format!("lost {nth}"), nth).await;
        lost.expect("it ends").expect("it is done");
    }
    // The other is away until there are as many changes again.
    way.is(Traffic::Stands);
    valkey.bring_back(&copy);
    until("it takes changes again", async || {
        one.put("new", 0).await.expect("it ends").is_ok()
    })
    .await;
    for nth in 0..10 {
        let new = one.put(&format!("new {nth}"), nth).await;
        new.expect("it ends").expect("it is done");
    }
    way.is(Traffic::Flows);
    let same = async || {
        let both = [&one, &other].map(|opened| opened.copy.lock().expect("a copy").clone());
        both[0] == both[1] && both[0].contains_key("new 9") && !both[0].contains_key("lost 0")
    };
    until("both know what there is", same).await;
    one.store.confirm().await.expect("it answers");
    other.store.confirm().await.expect("it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_after_it_is_back_does_not_miss_what_was_changed_since() {
    let Some(mut valkey) = Valkey::start("back", &[]) else {
        return;
    };
    let one = Opened::at(state_at(&valkey.url())).await.expect("a store");
    let other = Opened::at(state_at(&valkey.url())).await.expect("a store");
    for nth in 0..5 {
        valkey.kill();
        for opened in [&one, &other] {
            until("it is lost", async || opened.store.confirm_for_write().await.is_err()).await;
        }
        // By then they try less often.
        tokio::time::sleep(Duration::from_millis(400 + 130 * nth)).await;
        valkey.restart();
        until("one has changed something", async || {
            one.store.confirm().await.is_ok() && one.put("word", nth).await.expect("it ends").is_ok()
        })
        .await;
        // It may take a moment until it is reached; what it says once it was is true.
        until("the other has it again", async || {
            other.store.confirm().await.expect("it answers");
            other.store.stale_for().is_none()
        })
        .await;
        assert_eq!(other.get("word"), Some(nth));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_while_it_hangs_wait_side_by_side() {
    let Some(valkey) = Valkey::start("hangs", &[]) else {
        return;
    };
    let one = Opened::at(state_at(&valkey.url())).await.expect("a store");
    valkey.signal("STOP");
    until("it is lost", async || one.store.confirm_for_write().await.is_err()).await;
    let begun = Instant::now();
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let store = Arc::clone(&one.store);
        asking.spawn(async move { store.confirm().await });
    }
    assert!(
        asking.join_all().await.iter().all(Result::is_ok),
        "what is known is still good"
    );
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    valkey.signal("CONT");
}
