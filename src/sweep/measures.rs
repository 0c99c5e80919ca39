//! Measures what waits in the whole database. Every process does, whoever leads: what one told that leads no more would stay.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::gauge;
use tokio_util::sync::CancellationToken;

use super::rounds::rounds;
use crate::domain::instance::Connection;
use crate::domain::purpose::Lane;
use crate::runtime::clock::Clock;
use crate::runtime::stage::Stage;
use crate::store::measures::{self, Standing, Waiting};
use crate::store::{Pool, StoreError, Transaction};
use crate::wiring::Parts;

/// How often it is measured.
const INTERVAL: Duration = Duration::from_secs(10);
/// Nothing is counted beyond this.
const CAP: i64 = 10_000;
/// Instances looked at in one round; where there are more, their gauge is of several rounds.
const INSTANCES: i64 = 5_000;

/// Measures.
pub(super) struct Measurer {
    pool: Pool,
    clock: Clock,
    stop: CancellationToken,
    census: Census,
}

impl Measurer {
    pub(super) fn new(parts: &Parts) -> Self {
        let (pool, clock, stop) = (parts.pool.clone(), parts.clock.clone(), parts.stop.clone());
        Self { pool, clock, stop, census: Census::default() }
    }

    /// Measures until told to stop.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        rounds(&stop, INTERVAL, "measuring", async || Stage::Measure.run(self.round()).await).await;
    }

    /// Measures once; never `true`, because nothing is left undone.
    async fn round(&mut self) -> Result<bool, StoreError> {
        let mut session = self.pool.get().await?;
        let measuring = session.begin().await?;
        for lane in Lane::ALL.map(Lane::as_str) {
            let Waiting { oldest_due_seconds, due, backlog } =
                measures::messages(&measuring, lane, CAP).await?;
            gauge!("gatepost_messages_oldest_due_seconds", "lane" => lane).set(oldest_due_seconds);
            gauge!("gatepost_messages_due", "lane" => lane).set(due as f64);
            gauge!("gatepost_messages_backlog", "lane" => lane).set(backlog as f64);
        }
        gauge!("gatepost_messages_unknown").set(measures::unknown(&measuring, CAP).await? as f64);
        let webhooks = measures::webhooks(&measuring, CAP).await?;
        gauge!("gatepost_webhooks_oldest_due_seconds").set(webhooks.oldest_due_seconds);
        gauge!("gatepost_webhooks_due").set(webhooks.due as f64);
        gauge!("gatepost_webhooks_backlog").set(webhooks.backlog as f64);
        let callbacks = measures::callbacks(&measuring, CAP).await?;
        gauge!("gatepost_callbacks_oldest_due_seconds").set(callbacks.oldest_due_seconds);
        gauge!("gatepost_callbacks_due").set(callbacks.due as f64);
        self.count_instances(&measuring).await?;
        measuring.commit().await?;
        gauge!("gatepost_measured_timestamp_seconds").set(self.clock.now().as_second() as f64);
        Ok(false)
    }

    async fn count_instances(&mut self, measuring: &Transaction<'_>) -> Result<(), StoreError> {
        let page = measures::instances(measuring, &self.census.after, INSTANCES).await?;
        let last = page.len() as i64 != INSTANCES;
        self.census.count(&page);
        if last {
            for (state, count) in std::mem::take(&mut self.census).counted {
                gauge!("gatepost_instances", "state" => state).set(f64::from(count));
            }
        }
        Ok(())
    }
}

/// A count of the instances that is under way.
struct Census {
    after: (i64, String),
    counted: BTreeMap<&'static str, u32>,
}

impl Default for Census {
    fn default() -> Self {
        let states = ["paused", "suspect", "close", "connecting", "throttled", "open"];
        Self { after: (i64::MIN, String::new()), counted: states.map(|state| (state, 0)).into() }
    }
}

impl Census {
    fn count(&mut self, page: &[Standing]) {
        for standing in page {
            *self.counted.entry(state(standing)).or_default() += 1;
        }
        if let Some(last) = page.last() {
            self.after.clone_from(&last.key);
        }
    }
}

/// What keeps an instance from sending the most.
fn state(standing: &Standing) -> &'static str {
    match standing {
        Standing { paused: true, .. } => "paused",
        Standing { throttled: true, connection: Connection::Open, .. } => "throttled",
        Standing { connection, .. } => connection.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Census, state};
    use crate::domain::instance::Connection;
    use crate::store::measures::Standing;

    fn standing(paused: bool, throttled: bool, connection: Connection) -> Standing {
        Standing { key: (7, "shop-main".to_owned()), paused, throttled, connection }
    }

    #[test]
    fn the_gravest_state_counts() {
        assert_eq!(state(&standing(true, true, Connection::Suspect)), "paused");
        assert_eq!(state(&standing(false, true, Connection::Suspect)), "suspect");
        assert_eq!(state(&standing(false, true, Connection::Open)), "throttled");
        assert_eq!(state(&standing(false, false, Connection::Open)), "open");
    }

    #[test]
    fn a_census_goes_on_behind_its_last_page_and_tells_of_states_nobody_is_in() {
        let mut census = Census::default();
        census.count(&[standing(false, false, Connection::Open), standing(true, false, Connection::Open)]);
        census.count(&[]);
        assert_eq!(census.after, (7, "shop-main".to_owned()));
        assert_eq!((census.counted["open"], census.counted["paused"], census.counted["close"]), (1, 1, 0));
    }
}
