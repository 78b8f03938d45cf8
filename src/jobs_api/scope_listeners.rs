//! Those who wait for something to happen to the jobs of their scope.

use crate::auth::scope::Scope;
use parking_lot::Mutex;
use std::collections::HashMap;
use tokio::sync::watch;

/// Who hears that something happened to the jobs of a scope.
#[derive(Default)]
pub(super) struct ScopeListeners(Mutex<HashMap<Scope, watch::Sender<()>>>);

impl ScopeListeners {
    /// One more.
    pub(super) fn add(&self, scope: Scope) -> watch::Receiver<()> {
        let mut scopes = self.0.lock();
        scopes.retain(|_, sender| sender.receiver_count() > 0);
        scopes.entry(scope).or_default().subscribe()
    }

    /// Tells those of a scope; of all, where there is none.
    pub(super) fn tell(&self, scope: Option<Scope>) {
        let scopes = self.0.lock();
        match scope {
            Some(scope) => scopes.get(&scope).into_iter().for_each(|sender| {
                sender.send_replace(());
            }),
            None => scopes.values().for_each(|sender| {
                sender.send_replace(());
            }),
        }
    }
}
