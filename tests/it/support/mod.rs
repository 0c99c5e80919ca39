//! What the tests are made of.

pub mod cluster;
pub mod codes;
pub mod desk;
pub mod epmd;
pub mod evolution;
pub mod exposition;
pub mod inside;
pub mod ledger;
pub mod line;
pub mod meta;
pub mod meta_stage;
pub mod past;
pub mod process;
pub mod provider;
pub mod proxy;
pub mod queues;
pub mod receiver;
pub mod rows;
pub mod services;
pub mod wire;
pub mod world;

use std::future::Future;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// Longer than the leases after which something is tried again (half a minute), short enough to notice.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The HTTP client of all tests: one, because each reads all certificates of the machine, which takes longer than most
/// requests. It keeps no connection, which would belong to the runtime of the test that opened it.
pub fn http() -> &'static reqwest::Client {
    static HTTP: LazyLock<reqwest::Client> = LazyLock::new(|| {
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client")
    });
    &HTTP
}

/// Asks again and again until there is an answer; panics, saying what was waited for, when there is none in time.
pub async fn eventually<T, Fut>(what: &str, ask: impl FnMut() -> Fut) -> T
where
    Fut: Future<Output = Option<T>>,
{
    within(PATIENCE, what, ask).await
}

/// As [`eventually`], within another time.
pub async fn within<T, Fut>(time: Duration, what: &str, mut ask: impl FnMut() -> Fut) -> T
where
    Fut: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + time;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {time:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
