//! What `gateway serve` is made of: the customers' API and the providers' callbacks on one listener.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::broker::{self, Publisher};
use crate::guard::Guard;
use crate::guard::batch::CodeLimits;
use crate::guard::directory::Directory;
use crate::guard::rule_book::RuleBook;
use crate::runtime::{http, ops, process};
use crate::wiring::{self, Parts, StartError};
use crate::{callbacks, intake};

/// The door to strangers.
const DOOR: http::Door = http::Door { connections: 10_000, headers_too_large: intake::headers_too_large };

/// Serves until told to stop, then finishes what was begun.
///
/// # Errors
/// [`StartError`] where it cannot start.
pub async fn run(parts: Parts) -> Result<(), StartError> {
    let rules = match &parts.config.rules_file {
        None => RuleBook::builtin(),
        Some(file) => RuleBook::follow(file.clone(), parts.stop.clone())
            .await
            .map_err(|error| StartError::Refused(error.to_string()))?,
    };
    let closing = CancellationToken::new();
    let publisher = Publisher::start(&parts.nodes, &parts.topology, closing.clone()).await?;
    let listener = wiring::listen(parts.config.listen).await?;
    // The broker is not among the checks: without it sends are still accepted.
    let tables = [intake::METRICS, callbacks::METRICS, broker::METRICS];
    wiring::serve_ops(&parts, "gateway", Vec::<(&'static str, ops::Check)>::new(), &tables).await?;

    let directory = Directory::new(parts.pool.clone(), parts.config.cache_ttl);
    let following = directory.clone().follow(parts.config.database_url.clone(), parts.stop.clone());
    tokio::spawn(following);
    let customers = intake::Parts {
        pool: parts.pool.clone(),
        publisher: publisher.clone(),
        guard: Guard {
            directory,
            rules,
            secret_key: parts.config.secret_key.clone(),
            clock: parts.clock.clone(),
        },
        code_limits: CodeLimits {
            ten_minutes: parts.config.codes_per_ten_minutes,
            day: parts.config.codes_per_day,
        },
        open_sends: parts.config.open_sends,
        refusals_per_second: parts.config.key_refusals_per_second,
        wrong_keys_per_minute: parts.config.wrong_keys_per_minute,
        trusted_proxies: parts.config.trusted_proxies.clone(),
        body_timeout: parts.config.body_timeout,
        due_ms: i32::try_from(parts.config.accept_due.as_millis()).unwrap_or(i32::MAX),
    };
    let (api, committing) = intake::start(customers, &parts.stop);
    let providers = callbacks::Parts {
        pool: parts.pool.clone(),
        publisher,
        app_secret: parts.config.meta_app_secret.clone(),
        verify_token: parts.config.meta_verify_token.clone(),
        secret_key: parts.config.secret_key.clone(),
        clock: parts.clock.clone(),
    };
    let (received, applying) = callbacks::start(providers, parts.stop.clone());

    let serving = http::serve(listener, api.merge(received), DOOR, parts.stop.clone());
    let tasks = [committing.abort_handle(), applying.abort_handle()];
    if process::unless_ended(serving, &tasks, &parts.stop).await.is_none() {
        return Err(StartError::Refused("a task that must not end has ended".to_owned()));
    }
    let finish = async { tokio::join!(committing, applying) };
    if tokio::time::timeout(Duration::from_secs(3), finish).await.is_err() {
        warn!("stopped before everything was finished; the database holds the rest");
    }
    closing.cancel();
    Ok(())
}
