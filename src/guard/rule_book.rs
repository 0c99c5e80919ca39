//! The rules in force: the built-in ones, or the operator's file, read again whenever it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::rules::{Rules, RulesError};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// The rules in force; cloning shares them.
#[derive(Clone)]
pub struct RuleBook(watch::Receiver<Arc<Rules>>);

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum RuleBookError {
    /// The file cannot be read.
    #[error("GATEPOST_RULES_FILE cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// The file does not say what rules say.
    #[error("GATEPOST_RULES_FILE: {0}")]
    Invalid(#[from] RulesError),
}

impl RuleBook {
    /// The built-in rules, for good.
    #[must_use]
    pub fn builtin() -> Self {
        // Nobody sends another value: the receiver keeps the one it has.
        Self(watch::channel(Arc::new(Rules::builtin())).1)
    }

    /// The rules of the file, and those it changes to, until `stop`. A change that is not valid is logged, and the
    /// rules before it stay.
    ///
    /// # Errors
    /// [`RuleBookError`] where the file is not valid now.
    pub async fn follow(file: PathBuf, stop: CancellationToken) -> Result<Self, RuleBookError> {
        let (rules, mark) = read(&file).await?;
        let (sender, receiver) = watch::channel(Arc::new(rules));
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = keep_up(&file, mark, &sender) => {}
            }
        });
        Ok(Self(receiver))
    }

    /// The rules at this moment.
    #[must_use]
    pub fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.0.borrow())
    }
}

/// By what a changed file is known.
type Mark = Option<(SystemTime, u64)>;

async fn read(file: &Path) -> Result<(Rules, Mark), RuleBookError> {
    // Before the reading: what changes meanwhile is read again.
    let mark = mark(file).await;
    let text = tokio::fs::read_to_string(file).await.map_err(RuleBookError::Unreadable)?;
    Ok((Rules::parse(&text)?, mark))
}

async fn mark(file: &Path) -> Mark {
    let metadata = tokio::fs::metadata(file).await.ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

async fn keep_up(file: &Path, mut known: Mark, sender: &watch::Sender<Arc<Rules>>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let found = mark(file).await;
        if found == known {
            continue;
        }
        known = found;
        match read(file).await {
            Ok((rules, _)) => {
                info!(version = rules.version(), "new rules in force");
                sender.send_replace(Arc::new(rules));
            }
            Err(error) => warn!(%error, "the rules stay as they were"),
        }
    }
}
