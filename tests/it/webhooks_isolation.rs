//! Endpoints that would do harm: those that never answer, and those inside our own networks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::net::TcpListener;

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::receiver::Receiver;
use crate::support::rows::{count, wait_for_count};
use crate::support::services::Services;
use crate::support::world::World;

/// A server that accepts and never answers. It counts.
struct Silent {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Silent {
    /// Listens on every address of this machine.
    async fn start() -> Self {
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            // Without IPv6.
            Err(_) => TcpListener::bind("0.0.0.0:0").await.expect("a port is free"),
        };
        let port = listener.local_addr().expect("it listens").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                open.push(stream);
            }
        });
        Self { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// An account's dead endpoint holds up neither the account's healthy one nor anybody else's: with hundreds of events
/// waiting for each, the healthy ones have all of theirs before a single attempt at the dead one has run out of time.
pub async fn a_dead_endpoint_delays_nobody(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_WEBHOOK_TIMEOUT_MS", 20_000);
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let dead = Silent::start().await;
    let url = format!("http://127.0.0.1:{}/hooks", dead.port);
    let mut healthy = Vec::new();
    let mut customers = Vec::new();
    for _ in 0..2 {
        let customer = world.customer().await;
        world.admin(&["webhook", "create", "--account", &customer.account, "--url", &url]).await;
        healthy.push(world.receiver(&customer).await);
        customers.push(customer);
    }
    for customer in &customers {
        join_all((1000..1030).map(async |n| customer.accepted(&format!("+96650001{n}")).await)).await;
    }
    let database = world.database().await;
    wait_for_count(&database, "select count(*) from messages where status = 'read'", 60).await;
    assert_eq!(
        count(&database, "select count(*) from webhook_deliveries where status = 'pending'").await,
        720
    );

    // What a lane has no room for is put off, and sweep brings it back.
    let _processes = [world.start(Binary::Sweep).await, world.start(Binary::Notify).await];
    eventually("both healthy endpoints have everything", async || {
        healthy.iter().all(|receiver| receiver.received().len() == 180).then_some(())
    })
    .await;
    let attempts = "select count(*) from webhook_attempts";
    let unanswered = format!("{attempts} where error is not null");
    assert_eq!(count(&database, &unanswered).await, 0, "the dead one still hangs");
    assert!(dead.connections() >= 1, "it was tried");
    assert!(healthy.iter().all(|receiver| receiver.received().iter().all(|one| one.verified)));
}

/// Without the operator's leave no spelling of an address of our own is reached: the attempt is on record as refused, and
/// nothing was even connected to.
pub async fn private_addresses_are_refused(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_WEBHOOK_ALLOW", "");
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let server = Silent::start().await;
    let hosts = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "127.1",
        "0.0.0.0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00::1]",
    ];
    for host in hosts {
        let url = format!("http://{host}:{}/hooks", server.port);
        let account = customer.account.as_str();
        let create =
            ["webhook", "create", "--account", account, "--url", &url, "--events", "message.delivered"];
        world.admin(&create).await;
    }
    customer.accepted("+966500010002").await;
    let refused = "select count(distinct endpoint_id) from webhook_attempts
        where attempt = 1 and error = 'address_refused' and http_status is null and answer is null";
    let all = i64::try_from(hosts.len()).expect("few");
    wait_for_count(&database, refused, all).await;
    let otherwise = "select count(*) from webhook_attempts where error is distinct from 'address_refused'";
    assert_eq!(count(&database, otherwise).await, 0);
    assert_eq!(server.connections(), 0);
}

/// What the operator allows is reached, by name and by number, and what lies beside it is not.
pub async fn an_allowed_network_is_reached_and_no_other(services: &Services) {
    let mut world = World::new(services).await;
    world.set("GATEPOST_WEBHOOK_ALLOW", "127.0.0.1/32, 10.99.0.0/16");
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = Receiver::start().await;
    let by_name = receiver.url.replace("127.0.0.1", "localhost");
    let beside = receiver.url.replace("127.0.0.1", "127.0.0.2");
    let account = customer.account.as_str();
    for url in [&receiver.url, &by_name, &beside] {
        let create =
            ["webhook", "create", "--account", account, "--url", url, "--events", "message.delivered"];
        world.admin(&create).await;
    }
    customer.accepted("+966500010002").await;
    wait_for_count(&database, "select count(*) from webhook_deliveries where status = 'delivered'", 2).await;
    wait_for_count(&database, "select count(*) from webhook_attempts where error = 'address_refused'", 1)
        .await;
    assert_eq!(receiver.received().len(), 2);
}
