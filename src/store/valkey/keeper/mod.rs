//! Keeps the copies of all followers up to date, and makes changes, on a thread of its own.

mod answering;

use super::{
    call::{Call, Reply},
    calls::{CallError, Heard, Refusal, Version, WAIT},
    connection::{Connection, Connector},
    status::{LEASE, Status},
};
use crate::store::{
    StoreError,
    backend::{Followers, News, Rows},
    change::Step,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::LocalSet,
    time::{sleep, timeout},
};

/// How often it says that it is there: some of these may be lost before a lease ends.
const RENEW: Duration = Duration::from_millis(250);
/// How long it may be told of no change while there are some.
const SILENCE: Duration = Duration::from_secs(5);
/// How long it waits before it connects again, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What the tasks of the thread share.
pub(super) struct Keeper {
    connector: Connector,
    status: Arc<Status>,
    timeout: Duration,
    /// Its name among the jobshims that share the store.
    who: String,
    /// What a new store begins with.
    first: Vec<Step>,
    /// The store, and the connection to it, while it is there.
    open: RefCell<Option<Open>>,
    /// Held while rows are read for followers, so that none hears of an older row after a newer one.
    followers: Mutex<Followers>,
    /// The last change that all followers have heard of; `None` before they heard of all rows.
    heard: watch::Sender<Option<Version>>,
    /// How many changes it has made.
    commits: Cell<u64>,
}

#[derive(Clone)]
struct Open {
    connection: Connection,
    id: String,
}

impl Keeper {
    pub(super) fn new(
        connector: Connector,
        status: Arc<Status>,
        timeout: Duration,
        who: String,
        first: Vec<Step>,
    ) -> Self {
        Self {
            connector,
            status,
            timeout,
            who,
            first,
            open: RefCell::default(),
            followers: Mutex::default(),
            heard: watch::Sender::new(None),
            commits: Cell::new(0),
        }
    }

    /// Answers calls until nobody can make any. `begun` hears how the first connection came out.
    pub(super) async fn run(self, mut calls: mpsc::Receiver<Call>, begun: Reply<()>) {
        let keeper = Rc::new(self);
        let tasks = LocalSet::new();
        let stay_connected = tasks.spawn_local(Rc::clone(&keeper).stay_connected(begun));
        tasks
            .run_until(async {
                while let Some(call) = calls.recv().await {
                    tokio::task::spawn_local(Rc::clone(&keeper).answer(call));
                }
            })
            .await;
        stay_connected.abort();
        let open = keeper.open.borrow().clone();
        if let Some(open) = open {
            let _ = timeout(keeper.timeout.min(LEASE), open.connection.leave(&keeper.who)).await;
        }
    }

    /// Connects, keeps up with changes for as long as the connection lasts, and connects again.
    async fn stay_connected(self: Rc<Self>, begun: Reply<()>) {
        let mut begun = Some(begun);
        let mut pause = PAUSE;
        let mut known: Option<String> = None;
        loop {
            let outcome = self.connect(&mut known).await;
            if let Some(begun) = begun.take() {
                let _ = begun.send(outcome.as_ref().map(drop).map_err(Clone::clone));
            }
            let error = match outcome {
                Ok(following) => {
                    pause = PAUSE;
                    let error = tokio::select! {
                        error = self.follow_changes(&following) => error,
                        error = self.renew() => error,
                    };
                    *self.open.borrow_mut() = None;
                    error
                }
                Err(error) => error,
            };
            self.status.lost(error);
            // Who wants to know whether it is there again has it tried at once.
            sleep(PAUSE).await;
            let _ = timeout(pause, self.status.wanted()).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Connects twice: calls must not wait behind the one that waits for changes. `known` is which store it was.
    async fn connect(&self, known: &mut Option<String>) -> Result<Connection, StoreError> {
        let refused = |error: CallError| error.at(self.status.place());
        let connecting = async {
            let connection = self.connector.connect(Duration::ZERO).await?;
            let about = match known {
                None => connection.begin(&self.who, &self.first).await?,
                // An empty one in its place is not the one that is known.
                Some(_) => connection.about().await?,
            };
            Ok((connection, about, self.connector.connect(WAIT).await?))
        };
        let (connection, about, following) = match timeout(self.timeout * 4, connecting).await {
            Ok(connected) => connected.map_err(refused)?,
            Err(_) => return Err(self.unanswered()),
        };
        if known.as_ref().is_some_and(|known| *known != about.id) {
            return Err(StoreError::Replaced(self.status.place().to_owned()));
        }
        *known = Some(about.id.clone());
        let heard = self.heard.borrow().clone();
        match heard {
            Some(heard) if heard.may_lead_to(&about.last) => {}
            heard => {
                if heard.is_some() {
                    self.tell_of_loss();
                }
                self.hear_all(&connection).await?;
            }
        }
        self.status.found();
        *self.open.borrow_mut() = Some(Open {
            connection: connection.clone(),
            id: about.id,
        });
        match self.say_how_far(&connection).await {
            Ok(_) => Ok(following),
            Err(error) => {
                *self.open.borrow_mut() = None;
                Err(refused(error))
            }
        }
    }

    fn unanswered(&self) -> StoreError {
        let place = self.status.place().to_owned();
        StoreError::Unreachable(place, format!("no answer within {} ms", self.timeout.as_millis()))
    }

    /// The connection, while there is one.
    fn open(&self) -> Result<Open, StoreError> {
        self.open.borrow().clone().ok_or_else(|| match self.status.reason() {
            Some(error) => error,
            None => self.unanswered(),
        })
    }

    /// Keeps up with changes until that fails.
    async fn follow_changes(&self, following: &Connection) -> StoreError {
        loop {
            let heard = self.heard.borrow().clone();
            let hearing = match heard {
                None => self.hear_all(following).await,
                Some(heard) => match following.changes(heard.number).await {
                    Ok(changes) if follows(&heard, &changes) => self.hear(following, &changes).await,
                    // The stream keeps the latest ones alone, or the store was brought back from an older copy.
                    Ok(_) => self.hear_all(following).await,
                    Err(error) => Err(self.failed(error)),
                },
            };
            if let Err(error) = hearing {
                return error;
            }
        }
    }

    /// Tells followers of the rows that were changed, as they are now.
    async fn hear(&self, connection: &Connection, changes: &[Heard]) -> Result<(), StoreError> {
        let followers = self.followers.lock().await;
        // One that came in between has to hear of all rows.
        if self.heard.borrow().is_none() {
            return Ok(());
        }
        let mut changed: BTreeMap<&str, BTreeSet<&[u8]>> = BTreeMap::new();
        for (table, key) in changes.iter().flat_map(|change| &change.rows) {
            changed.entry(table).or_default().insert(key);
        }
        for (table, keys) in changed {
            let Some(which) = followers.rows(table) else {
                continue;
            };
            let keys: Vec<Vec<u8>> = keys.into_iter().map(<[u8]>::to_vec).collect();
            let rows = connection.some_rows(table, which, &keys).await;
            let rows = rows.map_err(|error| self.failed(error.into()))?;
            for (key, row) in keys.iter().zip(rows) {
                let told = followers.tell(table, News::One(key, row.as_deref()));
                told.map_err(|what| StoreError::damaged(self.status.place(), what))?;
            }
        }
        if let Some(last) = changes.last() {
            self.heard.send_replace(Some(last.version.clone()));
        }
        Ok(())
    }

    /// Tells followers of all rows.
    async fn hear_all(&self, connection: &Connection) -> Result<(), StoreError> {
        let followers = self.followers.lock().await;
        // What is changed while they are read is heard of after that.
        let last = connection.about().await.map_err(|error| self.failed(error))?.last;
        for table in followers.tables() {
            let which = followers.rows(table).unwrap_or(Rows::Lasting);
            let rows = connection.rows(table, which).await;
            let rows = rows.map_err(|error| self.failed(error.into()))?;
            let told = followers.tell(table, News::All(&rows));
            told.map_err(|what| StoreError::damaged(self.status.place(), what))?;
        }
        self.heard.send_replace(Some(last));
        Ok(())
    }

    fn failed(&self, error: CallError) -> StoreError {
        error.at(self.status.place())
    }

    /// Says again and again how far it has heard, and at once when it has heard more, until that fails.
    async fn renew(&self) -> StoreError {
        let mut heard = self.heard.subscribe();
        let mut quiet = Instant::now();
        loop {
            let Ok(Open { connection, .. }) = self.open() else {
                return self.unanswered();
            };
            heard.borrow_and_update();
            match self.say_how_far(&connection).await {
                Ok(None) => quiet = Instant::now(),
                // A stream that was lost tells of no change: all rows are heard of, once it is connected again.
                Ok(Some(_)) if quiet.elapsed() > SILENCE => {
                    self.heard.send_replace(None);
                    return StoreError::Unreachable(
                        self.status.place().to_owned(),
                        "it was changed, and does not say how".to_owned(),
                    );
                }
                Ok(Some(_)) => {}
                Err(error) => return self.failed(error),
            }
            if let Ok(Ok(())) = timeout(RENEW, heard.changed()).await {
                quiet = Instant::now();
            }
        }
    }

    fn tell_of_loss(&self) {
        tracing::warn!(
            store = self.status.place(),
            "the store has lost its latest changes; what it has is in force"
        );
    }

    /// Says how far it has heard. Where that is not all, what it has not heard of yet comes back.
    async fn say_how_far(&self, connection: &Connection) -> Result<Option<u64>, CallError> {
        let asked = Instant::now();
        let was_current = self.status.is_current();
        let heard = self.heard.borrow().clone().unwrap_or_default();
        let about = connection.renew(&self.who, heard.number).await?;
        if !heard.may_lead_to(&about.last) {
            self.tell_of_loss();
            self.heard.send_replace(None);
            return Err(CallError::Refused(Refusal::Older));
        }
        if self.open.borrow().as_ref().is_some_and(|open| open.id != about.id) {
            return Err(CallError::Refused(Refusal::Replaced));
        }
        let reaches = |heard: &Version| heard.number >= about.last.number;
        let is_all = self.heard.borrow().as_ref().is_some_and(reaches);
        // While it was waited for all along, others wait for it still.
        if is_all || (was_current && self.status.is_current()) {
            self.status.is_current_since(asked);
        }
        Ok((!is_all).then_some(about.last.number))
    }
}

/// Whether these are the changes that come after one.
fn follows(heard: &Version, changes: &[Heard]) -> bool {
    let mut before = heard;
    changes.iter().all(|change| {
        let follows = change.version.number == before.number + 1 && change.after == before.mark;
        before = &change.version;
        follows
    })
}
