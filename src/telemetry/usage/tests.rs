use super::{
    super::client::{LONGEST_AGENT, block},
    *,
};

fn who(agent: &str) -> ClientFingerprint {
    ClientFingerprint {
        agent: Some(agent.parse().expect("a value")),
        address: Some([192, 0, 2, 7].into()),
        credential: None,
    }
}

#[test]
fn clients_are_counted_by_route_and_come_back_as_they_were_stored() {
    let usage = Usage::default();
    usage.note(&who("a"), Endpoint::History, Source::JobsApi, StatusClass::Success);
    usage.note(&who("a"), Endpoint::History, Source::Upstream, StatusClass::Success);
    usage.note(&who("a"), Endpoint::JobCancel, Source::JobsApi, StatusClass::Success);
    usage.note(&who("b"), Endpoint::Queue, Source::JobsApi, StatusClass::Success);
    let stored = usage.changes().expect("changes");
    assert_eq!(usage.changes(), None);
    let a = stored.clients.iter().find(|client| client.who.agent == "a").expect("a");
    let counts: Vec<_> = a
        .routes
        .iter()
        .map(|(route, used)| (route.as_str(), used.count, used.translated))
        .collect();
    assert_eq!(counts, [("history", 2, 1), ("job_cancel", 1, 1)]);
    let text = serde_json::to_string(&stored).expect("JSON");
    let again = Usage::from(serde_json::from_str::<Clients>(&text).expect("the same"));
    assert_eq!(again.clients(), stored);
}

#[test]
fn beyond_the_bound_all_further_clients_are_one() {
    let usage = Usage::default();
    for number in 0..MAX_CLIENTS + 50 {
        usage.note(
            &who(&number.to_string()),
            Endpoint::History,
            Source::JobsApi,
            StatusClass::Success,
        );
    }
    usage.note(&who("3"), Endpoint::History, Source::JobsApi, StatusClass::Success);
    let clients = usage.clients().clients;
    assert_eq!(clients.len(), MAX_CLIENTS + 1);
    let others = clients
        .iter()
        .find(|client| client.who == ClientId::others())
        .expect("others");
    assert_eq!(others.routes["history"].count, 50);
    let three = clients.iter().find(|client| client.who.agent == "3").expect("3");
    assert_eq!(three.routes["history"].count, 2);
}

#[test]
fn no_clock_that_is_set_has_a_client_forgotten() {
    let day = 86_400_000;
    let stored = |last_watched_ms| {
        let used = Use {
            count: 1,
            // In 1970: by the clock, long ago.
            last_seen_ms: 1,
            last_watched_ms,
            ..Use::default()
        };
        Usage::from(Clients {
            watched_ms: 500 * day,
            clients: vec![Client {
                who: who("a").who(),
                routes: [("history".to_owned(), used)].into(),
            }],
            ..Clients::default()
        })
    };
    for (last, kept) in [(499 * day, 1), (101 * day, 1), (99 * day, 0)] {
        let usage = stored(last);
        usage.note(&who("b"), Endpoint::History, Source::JobsApi, StatusClass::Success);
        let clients = usage.changes().expect("a change").clients;
        assert_eq!(clients.len(), 1 + kept, "{last}: {clients:#?}");
        assert!(usage.changes().is_none(), "nothing new");
    }
}

#[test]
fn clients_are_told_apart_by_what_is_shown_of_them_and_by_nothing_else() {
    let usage = Usage::default();
    let long = "a".repeat(LONGEST_AGENT);
    let base = who("a");
    let v6 = |text: &str| Some(text.parse().expect("an address"));
    let apart = [
        base.clone(),
        who("b"),
        who(""),
        who(&long),
        ClientFingerprint {
            address: None,
            ..base.clone()
        },
        ClientFingerprint {
            address: v6("192.0.3.7"),
            ..base.clone()
        },
        ClientFingerprint {
            address: v6("c000:200::"),
            ..base.clone()
        },
        ClientFingerprint {
            address: v6("2001:db8:1::1"),
            ..base.clone()
        },
        ClientFingerprint {
            credential: Some([1; 32]),
            ..base.clone()
        },
    ];
    let same = [
        ClientFingerprint {
            agent: None,
            ..base.clone()
        },
        ClientFingerprint {
            address: v6("192.0.2.200"),
            ..base.clone()
        },
        ClientFingerprint {
            address: v6("2001:db8:1:2::3"),
            ..base.clone()
        },
        who(&format!("{long} and more")),
    ];
    for (times, shown) in [(1, &apart[..]), (2, &apart), (3, &same)] {
        for shown in shown {
            usage.note(shown, Endpoint::History, Source::JobsApi, StatusClass::Success);
        }
        let clients = usage.clients().clients;
        assert_eq!(clients.len(), apart.len(), "{clients:#?}");
        let counts = clients.iter().map(|client| client.routes["history"].count);
        let most = if times == 3 { 3 } else { times };
        assert_eq!(counts.max(), Some(most));
    }
}

#[test]
fn addresses_are_shown_by_their_block() {
    for (address, shown) in [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
    ] {
        assert_eq!(block(address.parse().expect("an address")), shown);
    }
}
