//! Whether a machine is healthy, asked of Incus and of the machine itself until it is, or too long has passed.

use std::time::Duration;

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::incus::call::Call;
use crate::incus::door::{self, ThisHost, json};
use crate::lifecycle::health;
use crate::lifecycle::upgrade::look::{self, Before, Look, Now};
use crate::plan::Id;

/// How often a machine is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How long a guest may take to tell of itself.
const ANSWER: Duration = Duration::from_secs(10);

/// A machine that is to be healthy, and what that means for it.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) id: Id,
    pub(super) before: Before,
    /// Commands can be run in it.
    pub(super) asks: bool,
    /// Its own command.
    pub(super) health: Option<String>,
}

/// What a guest tells of itself, and of what was before an upgrade that was cut off; why it does not.
pub(super) async fn look(id: &Id, snapshot: Option<&str>) -> Result<Look, String> {
    match door::ended(&Look::call(id, snapshot), ANSWER).await {
        Ok(Some(ended)) if ended.code == 0 => Ok(Look::parse(&ended.out)),
        Ok(Some(ended)) => {
            Err(if ended.said.is_empty() { format!("`sh` ended with {}", ended.code) } else { ended.said })
        }
        Ok(None) => Err(format!("it did not answer within {} s", ANSWER.as_secs())),
        Err(error) => Err(error.to_string()),
    }
}

/// Its state, as Incus tells it.
pub(super) async fn state(id: &Id) -> Value {
    let call = Call::query(format!("/1.0/instances/{}/state?project={}", id.name, id.project));
    json(&ThisHost, &call).await.unwrap_or_default()
}

/// What is wrong with a machine still, after as long as `wait`; nothing as soon as it is healthy.
pub(super) async fn troubles(subject: &Subject, wait: Duration) -> Vec<String> {
    let stopped = async {
        // Where signals cannot be caught nobody is stopped by one either.
        let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return std::future::pending().await;
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::select! {
        troubles = until_healthy(subject, wait) => troubles,
        () = stopped => vec!["you stopped before it was known to be healthy".into()],
    }
}

async fn until_healthy(subject: &Subject, wait: Duration) -> Vec<String> {
    let deadline = Instant::now() + wait;
    loop {
        let troubles = look::troubles(&subject.before, &now(subject).await, subject.asks);
        if troubles.is_empty() || Instant::now() >= deadline {
            return troubles;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn now(subject: &Subject) -> Now {
    let state = state(&subject.id).await;
    let status = state["status"].as_str().unwrap_or("unknown").to_owned();
    if status != "Running" {
        return Now { status, ..Now::default() };
    }
    let health = async {
        let command = subject.health.as_deref()?;
        Some(health::ask(&subject.id, command, health::LIMIT).await)
    };
    let look = async { if subject.asks { look(&subject.id, None).await.ok() } else { None } };
    let (look, health) = tokio::join!(look, health);
    Now { status, addresses: look::addresses(&state), look, health }
}
