//! More than a gateway can work on: the rest is refused at once, and nobody's flood is another's.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::support::process::Binary;
use crate::support::proxy::Proxy;
use crate::support::services::Services;
use crate::support::world::World;

/// With every send stuck, an account that has its share of the places is told at once to come back; another one is let in.
/// When the sends move again everybody is served.
pub async fn overload_is_refused_at_once(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_OPEN_SENDS", 8);
    let direct = world.database_url.clone();
    let mut proxy = Proxy::to_database(&mut world).await;
    let _gateway = world.start(Binary::Gateway).await;
    world.set("DATABASE_URL", &direct);
    let (flooding, quiet) = (world.customer().await, world.customer().await);
    for customer in [&flooding, &quiet] {
        customer.accepted("+966500010001").await;
    }

    proxy.stall();
    let (full, mut is_full) = watch::channel(false);
    let flood = join_all((0..12).map(|n| {
        let message = flooding.message(&format!("+9665000100{n:02}"));
        let (customer, full) = (&flooding, &full);
        async move {
            let begun = Instant::now();
            let answer = customer.send(&message).await;
            if answer.status == 503 {
                assert_eq!((answer.error(), answer.header("retry-after")), ("overloaded", Some("1")));
                assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
                full.send_replace(true);
            }
            answer.status
        }
    }));
    let other = async {
        is_full.wait_for(|full| *full).await.expect("it is told");
        quiet.send(&quiet.message("+966500010052")).await.status
    };
    let (mut flood, quiet_status) = tokio::join!(flood, other);
    flood.sort_unstable();
    assert_eq!(flood, [[500; 4].as_slice(), &[503; 8]].concat(), "half of the places are one account's");
    assert_eq!(quiet_status, 500, "let in, and told that the database does not answer");
    proxy.heal().await;
    for customer in [&flooding, &quiet] {
        let served = customer.request(&customer.message("+966500010060"));
        let served = crate::support::eventually("it is served again", async || {
            let request = served.try_clone().expect("a body of text");
            Some(crate::support::world::answer(request).await).filter(|answer| answer.status == 202)
        });
        served.await;
    }
}
