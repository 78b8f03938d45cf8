//! `POST /interrupt` over the cloud: an account runs several jobs at once, and one of them is meant.

use super::*;

fn running_since(id: &str, created: usize, started: Option<usize>) -> Job {
    let started = started.map_or(String::new(), |at| format!(r#", "execution_start_time": {at}"#));
    let text = format!(r#"{{"id": "{id}", "status": "in_progress", "create_time": {created}{started}}}"#);
    Job::new(&text, &text).expect("a job")
}

#[tokio::test]
async fn without_an_id_the_first_active_job_is_cancelled_and_no_other() {
    for target in ["/interrupt", "/api/interrupt"] {
        for body in ["", "{}", "not JSON", r#"{"prompt_id": null}"#] {
            let mut board = board(Rules::Cloud);
            for nth in [1, 2] {
                board.add(job(&uuid(nth), "pending", nth));
            }
            // The one that was created first waited longest.
            board.add(running_since(&uuid(3), 3, Some(90)));
            board.add(running_since(&uuid(4), 4, Some(50)));
            board.add(running_since(&uuid(5), 60, None));
            let (server, jobshim) = behind(board, Setup::default()).await;
            let mut left = vec![uuid(5), uuid(4), uuid(3), uuid(2), uuid(1)];
            for cancelled in [4, 5, 3, 1, 2] {
                assert_done(&post(&jobshim, target, body).await, body);
                left.retain(|id| *id != uuid(cancelled));
                let active = server.with(|state| {
                    let running = state.board.in_state("in_progress");
                    [running, state.board.in_state("pending")].concat()
                });
                assert_eq!(active, left, "{target} {body}: {cancelled} was the first");
            }
            let calls = cancels(&server).len();
            assert_done(&post(&jobshim, target, body).await, "nothing is active");
            assert_eq!(cancels(&server).len(), calls);
        }
    }
}

#[tokio::test]
async fn with_an_id_only_that_job_is_cancelled_and_only_if_it_runs() {
    let mut board = board(Rules::Cloud);
    for nth in [1, 2, 3] {
        board.add(running_since(&uuid(nth), nth, None));
    }
    board.add(job(&uuid(4), "pending", 4));
    let (server, jobshim) = behind(board, Setup::default()).await;
    for nth in [4, 77, 2] {
        assert_done(
            &post(&jobshim, "/interrupt", json!({"prompt_id": uuid(nth)})).await,
            "by id",
        );
    }
    server.with(|state| {
        assert_eq!(state.board.in_state("in_progress"), [uuid(3), uuid(1)]);
        assert_eq!(state.board.in_state("pending"), [uuid(4)]);
    });
}

#[tokio::test]
async fn self_hosted_all_that_runs_is_interrupted_and_nothing_that_waits() {
    let mut board = busy(Rules::Comfyui, 2);
    board.add(job(&uuid(50), "in_progress", 50));
    let (server, jobshim) = behind(board, Setup::default()).await;
    for _ in 0..2 {
        assert_done(&post(&jobshim, "/interrupt", "").await, "interrupt");
        server.with(|state| {
            assert_eq!(state.board.in_state("in_progress"), [""; 0]);
            assert_eq!(state.board.in_state("pending"), [uuid(3), uuid(2)]);
        });
    }
}

#[tokio::test]
async fn what_is_to_be_deleted_is_what_python_iterates() {
    for (delete, left) in [
        // Keys, not values, and characters, not the whole text.
        (format!(r#"{{"{}": 1, "x": null}}"#, uuid(2)), Vec::new()),
        (format!("{:?}", uuid(2)), vec![uuid(2), "x".to_owned()]),
        (r#""axa""#.to_owned(), vec![uuid(2)]),
    ] {
        let mut board = busy(Rules::Comfyui, 1);
        board.add(job("x", "pending", 1));
        let (server, jobshim) = behind(board, Setup::default()).await;
        assert_done(
            &post(&jobshim, "/queue", format!(r#"{{"delete": {delete}}}"#)).await,
            &delete,
        );
        server.with(|state| assert_eq!(state.board.in_state("pending"), left, "{delete}"));
    }
}
