//! How far the program's end has come. What outlives a request listens to it, and is waited for as long as it does.

use tokio::sync::watch;

/// The stages of an end, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainStage {
    /// There is no end in sight.
    #[default]
    Serving,
    /// The program has been told to stop. Connections are still taken, while load balancers are told to go elsewhere.
    Announced,
    /// No connection is taken any more; each client gets one more answer on its own, and is told that it is the last.
    LastAnswers,
    /// Connections without a request under way are closed.
    Closing,
    /// The drain timeout is over: connections are closed whatever is under way on them.
    CutOff,
}

/// Listens.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<DrainStage>);

impl Shutdown {
    /// Listens to the stages that are sent here.
    pub(super) fn new(stages: watch::Receiver<DrainStage>) -> Self {
        Self(stages)
    }

    /// Resolves when `stage` is reached.
    pub async fn reached(&mut self, stage: DrainStage) {
        if self.0.wait_for(|now| *now >= stage).await.is_err() {
            // Nobody is left to say so.
            std::future::pending().await
        }
    }
}
