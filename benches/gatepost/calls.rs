//! What the provider remembers: which call came when.

use jiff::Timestamp;
use serde_json::Value;

use crate::stage::Stage;

/// One call at the provider.
#[derive(Clone, Debug)]
pub struct Call {
    pub account_id: i64,
    /// E.164 digits.
    pub to: String,
    pub at: Timestamp,
}

/// All calls that the provider remembers, the oldest first.
pub async fn calls(stage: &Stage) -> Vec<Call> {
    let listed = stage.world.calls("").await;
    listed["calls"].as_array().into_iter().flatten().map(read).collect()
}

/// Those to one person.
pub async fn calls_to(stage: &Stage, to: &str) -> Vec<Call> {
    stage.world.calls_to(to).await.iter().map(read).collect()
}

fn read(call: &Value) -> Call {
    let text = |name: &str| call[name].as_str().unwrap_or_else(|| panic!("a call has its {name}: {call}"));
    let (account, _) = text("opaque").split_once('/').expect("the mark names the message");
    Call {
        account_id: account.parse().expect("an account's id is a number"),
        to: text("to").trim_start_matches('+').to_owned(),
        at: text("attempted_at").parse().expect("a time"),
    }
}

/// The moment, by the clock that the provider reads as well.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "what is measured is the time")]
    Timestamp::now()
}

/// From one moment to a later one, in milliseconds; negative where it is not later.
pub fn millis(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1_000.0
}

/// The value that so many percent do not exceed.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() * percent / 100).or(values.last()).copied().unwrap_or_default()
}
