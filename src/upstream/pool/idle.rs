//! Connections that lie idle until a request needs one.

use super::connection::Connection;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

/// How many connections may lie idle. Each takes a file descriptor here and at the server, and a process often may have no
/// more than 1024: a quarter of that is kept for a next rush, the rest is for calls and clients. How many are in use at once
/// is not limited by it; what comes back beyond it closes the one that lay idle for longest.
const MAX_IDLE: usize = 256;
/// How long a connection may lie unused before it is closed.
const MAX_IDLE_TIME: Duration = Duration::from_secs(90);
/// How often idle ones are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Connections that lie idle. Requests wait for this lock, so nothing is read from a connection under it.
#[derive(Default)]
pub(super) struct IdleConnections(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    /// In the order of their last use, the latest at the back.
    connections: VecDeque<IdleConnection>,
    /// How many were put here so far.
    puts: u64,
    /// Somebody sweeps.
    is_swept: bool,
}

struct IdleConnection {
    connection: Box<Connection>,
    since: Instant,
    /// Which put it was: the order of those that lie here.
    number: u64,
}

impl IdleConnections {
    /// The open connection that was used last.
    pub(super) fn take(&self) -> Option<Box<Connection>> {
        loop {
            let latest = self.0.lock().connections.pop_back();
            let mut connection = latest?.connection;
            if connection.is_open() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection until it is needed.
    pub(super) fn put(self: &Arc<Self>, mut connection: Box<Connection>) {
        connection.rest();
        let mut shelf = self.0.lock();
        shelf.puts += 1;
        let number = shelf.puts;
        shelf.connections.push_back(IdleConnection {
            connection,
            since: Instant::now(),
            number,
        });
        let surplus = shelf.surplus();
        let starts_sweep = !std::mem::replace(&mut shelf.is_swept, true);
        drop(shelf);
        if starts_sweep {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
        close(surplus);
    }

    /// Closes those that the server has closed. One at a time is away to be looked at; a request that comes just then takes
    /// another.
    fn drop_closed(&self) {
        // What is put here meanwhile is open.
        let until = self.0.lock().puts;
        let mut last = 0;
        while let Some(mut idle) = self.take_after(last, until) {
            last = idle.number;
            if idle.connection.is_open() {
                close(self.put_back(idle));
            }
        }
    }

    /// The first that was put here after number `last`, up to number `until`.
    fn take_after(&self, last: u64, until: u64) -> Option<IdleConnection> {
        let mut shelf = self.0.lock();
        let at = shelf.connections.partition_point(|idle| idle.number <= last);
        let is_meant = shelf.connections.get(at).is_some_and(|idle| idle.number <= until);
        is_meant.then(|| shelf.connections.remove(at)).flatten()
    }

    /// Puts one back where it was, and gives what is too many then.
    fn put_back(&self, idle: IdleConnection) -> Option<IdleConnection> {
        let mut shelf = self.0.lock();
        let at = shelf.connections.partition_point(|other| other.number < idle.number);
        shelf.connections.insert(at, idle);
        shelf.surplus()
    }

    fn close_expired(&self) {
        while let Some(expired) = self.take_expired() {
            close(Some(expired));
        }
    }

    fn take_expired(&self) -> Option<IdleConnection> {
        let mut shelf = self.0.lock();
        let oldest = shelf.connections.front()?;
        match oldest.since.elapsed() >= MAX_IDLE_TIME {
            true => shelf.connections.pop_front(),
            false => None,
        }
    }

    /// Whether nothing is left to look after. Then the next that comes starts another sweep.
    fn ends_sweep(&self) -> bool {
        let mut shelf = self.0.lock();
        shelf.is_swept = !shelf.connections.is_empty();
        !shelf.is_swept
    }
}

impl Shelf {
    /// The oldest connection, where there is one too many.
    fn surplus(&mut self) -> Option<IdleConnection> {
        match self.connections.len() > MAX_IDLE {
            true => self.connections.pop_front(),
            false => None,
        }
    }
}

fn close(idle: Option<IdleConnection>) {
    if let Some(idle) = idle {
        tokio::spawn(idle.connection.close());
    }
}

/// Closes what the server has closed, and what lies idle too long, until nothing is left.
async fn sweep(idle: Weak<IdleConnections>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(idle) = idle.upgrade() else {
            return;
        };
        idle.drop_closed();
        idle.close_expired();
        if idle.ends_sweep() {
            return;
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::io::Io;
    use super::*;
    use tokio::{io::AsyncReadExt, net::UnixStream, time::timeout};

    /// A connection, and the server's end of it.
    fn connection() -> (Box<Connection>, UnixStream) {
        let (here, server) = UnixStream::pair().expect("a connection");
        (Box::new(Connection::new(Io::Unix(here))), server)
    }

    fn len(idle: &IdleConnections) -> usize {
        idle.0.lock().connections.len()
    }

    async fn is_closed(server: &mut UnixStream) -> bool {
        let read = timeout(Duration::from_millis(50), server.read_u8());
        read.await.is_ok()
    }

    #[tokio::test]
    async fn beyond_the_maximum_the_one_that_lay_idle_for_longest_is_closed() {
        let idle = Arc::new(IdleConnections::default());
        let (oldest, mut oldest_server) = connection();
        let (second, mut second_server) = connection();
        idle.put(oldest);
        idle.put(second);
        for _ in 2..MAX_IDLE {
            idle.put(connection().0);
        }
        assert_eq!(len(&idle), MAX_IDLE);
        idle.put(connection().0);
        assert_eq!(len(&idle), MAX_IDLE);
        let end = timeout(Duration::from_secs(20), oldest_server.read_u8()).await;
        assert!(end.expect("an end").is_err());
        assert!(!is_closed(&mut second_server).await);
    }

    #[tokio::test]
    async fn a_look_leaves_the_open_ones_in_their_order() {
        let idle = Arc::new(IdleConnections::default());
        let mut servers = Vec::new();
        for _ in 0..5 {
            let (connection, server) = connection();
            idle.put(connection);
            servers.push(Some(server));
        }
        servers[1] = None;
        servers[4] = None;
        // The system may take a moment to tell.
        for _ in 0..100 {
            idle.drop_closed();
            if len(&idle) == 3 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let numbers: Vec<_> = idle.0.lock().connections.iter().map(|idle| idle.number).collect();
        assert_eq!(numbers, [1, 3, 4]);
    }

    #[tokio::test]
    async fn the_latest_that_is_open_is_taken_first() {
        let idle = Arc::new(IdleConnections::default());
        let (first, _first_server) = connection();
        let (second, second_server) = connection();
        idle.put(first);
        idle.put(second);
        drop(second_server);
        // The runtime hears of it at its next turn.
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(idle.take().is_some(), "the first");
        assert!(idle.take().is_none(), "the second was closed");
    }
}
