//! Replicas and their store are killed in the middle, and nothing that was answered is undone.

use super::{Replicas, history, job, post, server, uuid};
use crate::support::{
    Client,
    seeded::Seeded,
    valkey::Valkey,
    wait::{as_soon_as, until},
};
use http::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_thousand_deletes_every_one_that_was_answered_is_hidden_everywhere() {
    let Some(mut valkey) = Valkey::start("thousand", &[]) else {
        return;
    };
    let server = server(1000).await;
    let mut replicas = Replicas::start(3, &server.url(), &valkey.url(), &[]);
    let addresses = [replicas.at(0), replicas.at(1), replicas.at(2)];
    let mut deleting = tokio::task::JoinSet::new();
    for lane in 0..4 {
        deleting.spawn(async move {
            let mut answered = Vec::new();
            for nth in (1..=1000).filter(|nth| nth % 4 == lane) {
                let body = json!({"delete": [uuid(nth)]});
                match post(addresses[nth % 3], "/history", "", &body).await {
                    Ok(reply) if reply.status == 200 => answered.push(nth),
                    Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.text()),
                    Err(_) => {}
                }
            }
            answered
        });
    }
    let asked = |count: usize| server.arrived(Method::POST, "/history").len() >= count;
    as_soon_as("a few hundred are deleted", || asked(300)).await;
    replicas.programs[0].signal("KILL");
    as_soon_as("more are deleted", || asked(450)).await;
    valkey.kill();
    valkey.restart();
    let answered: Vec<usize> = deleting.join_all().await.into_iter().flatten().collect();
    assert!(
        (150..900).contains(&answered.len()),
        "killed in the middle: {}",
        answered.len()
    );
    replicas.programs[0].end();
    replicas.programs[0] = replicas.new_program();
    for nth in 0..3 {
        let at = replicas.at(nth);
        until("it answers", async || {
            Client::new().get(at, "/history").await.status == 200
        })
        .await;
        let shown = history(at, "").await;
        let back: Vec<_> = answered.iter().filter(|nth| shown.contains(nth)).collect();
        assert!(back.is_empty(), "shown again: {back:?}");
    }
}

/// What is known of one user's history: a write that was not answered may have been done.
#[derive(Default)]
struct Model {
    hidden: BTreeMap<usize, bool>,
}

impl Model {
    fn wrong(&self, shown: &BTreeSet<usize>, all: usize) -> Vec<String> {
        let wrong = |nth: &usize| match (self.hidden.get(nth), shown.contains(nth)) {
            (Some(true), true) => Some(format!("{nth} was deleted, and is shown")),
            (None, false) => Some(format!("{nth} was not deleted, and is not shown")),
            _ => None,
        };
        (1..=all).filter_map(|nth| wrong(&nth)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_twenty_users_do_through_whichever_of_three_is_as_if_there_were_one() {
    let Some(mut valkey) = Valkey::start("model", &[]) else {
        return;
    };
    // As many as the environment asks for; 10,000 take some minutes.
    let operations: usize =
        std::env::var("JOBSHIM_TEST_OPERATIONS").map_or(1_200, |count| count.parse().expect("a number"));
    let mut jobs = 40;
    let server = server(jobs).await;
    let mut replicas = Replicas::start(3, &server.url(), &valkey.url(), &[]);
    let mut models: Vec<Model> = (0..20).map(|_| Model::default()).collect();
    let mut random = Seeded(17);
    for operation in 0..operations {
        let (user, nth) = (random.below(20), random.below(3));
        let (name, at) = (format!("user-{user}"), replicas.at(nth));
        match random.below(100) {
            0..35 => {
                let id = 1 + random.below(jobs);
                let done = post(at, "/history", &name, &json!({"delete": [uuid(id)]})).await;
                let done = done.is_ok_and(|reply| reply.status == 200);
                let before = models[user].hidden.get(&id).copied().unwrap_or(false);
                models[user].hidden.insert(id, before || done);
            }
            35..40 => {
                let done = post(at, "/history", &name, &json!({"clear": true})).await;
                let done = done.is_ok_and(|reply| reply.status == 200);
                for id in 1..=jobs {
                    let before = models[user].hidden.get(&id).copied().unwrap_or(false);
                    models[user].hidden.insert(id, before || done);
                }
            }
            40..45 => {
                jobs += 1;
                server.with(|state| state.board.add(job(jobs, "completed")));
            }
            45..46 => replicas.replace(nth),
            46 if operation % 2 == 0 => {
                valkey.kill();
                valkey.restart();
            }
            _ => {
                let reply = Client::new().get_with(at, "/history", &[("comfy-user", &name)]).await;
                // A store that was killed a moment ago may not have been reached yet.
                if reply.status == 503 {
                    continue;
                }
                assert_eq!(reply.status, 200, "operation {operation}: {}", reply.text());
                let shown: Value = serde_json::from_slice(&reply.body).expect("JSON");
                let ids = shown.as_object().expect("a history").keys();
                let shown: BTreeSet<usize> = ids.map(|id| id[..8].parse().expect("a number")).collect();
                let wrong = models[user].wrong(&shown, jobs);
                assert!(
                    wrong.is_empty(),
                    "operation {operation}, {name} through {nth}: {wrong:?}"
                );
            }
        }
    }
}
