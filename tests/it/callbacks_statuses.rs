//! Statuses that Meta reports late, twice, early and in any order: the row only rises, and each rise is told once.

use futures_util::future::join_all;

use crate::support::meta::{self, all_applied, status};
use crate::support::process::Binary;
use crate::support::provider::Provider;
use crate::support::rows::{Rise, count, life, provider_id, rises, wait_for_count};
use crate::support::services::{Services, free_port};
use crate::support::world::World;
use crate::support::{eventually, world::Customer};

/// Sends to recipients of whom the sandbox reports nothing; gives our ids and the provider's.
async fn quiet_messages(world: &World, customer: &Customer, how_many: usize) -> Vec<(String, String)> {
    let database = world.database().await;
    join_all((0..how_many).map(async |n| {
        let message = customer.accepted(&format!("+96650{n:03}0003")).await;
        world.wait_for_status(&message, &["sent"]).await;
        let theirs = provider_id(&database, &message).await;
        (message, theirs)
    }))
    .await
}

/// In each of the six orders, every report posted twice: the message ends as read, the late reports change nothing, and
/// no rise is told twice.
pub async fn any_order_ends_as_read(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let customer = world.customer().await;
    let orders = [
        (["sent", "delivered", "read"], "queued sending sent delivered read"),
        (["sent", "read", "delivered"], "queued sending sent read"),
        (["delivered", "sent", "read"], "queued sending sent delivered read"),
        (["delivered", "read", "sent"], "queued sending sent delivered read"),
        (["read", "sent", "delivered"], "queued sending sent read"),
        (["read", "delivered", "sent"], "queued sending sent read"),
    ];
    let messages = quiet_messages(&world, &customer, orders.len()).await;
    let posts = orders.iter().zip(&messages).map(async |((order, _), (_, theirs))| {
        for word in order {
            let once = status(&customer, theirs, word, None);
            world.report(&database, &once).await;
            world.report(&database, &once).await;
            // The same status in another body, as Meta repeats it beside others.
            let mut again = once;
            again["entry"][0]["time"] = 1_769_904_999.into();
            world.report(&database, &again).await;
        }
    });
    join_all(posts).await;
    for ((order, expected), (message, _)) in orders.iter().zip(&messages) {
        assert_eq!(life(&database, message).await, *expected, "{order:?}");
    }
    let stored = "select count(*) from callbacks";
    assert_eq!(count(&database, stored).await, 36, "the very same body is one row");
}

/// Reports of thirty messages pour into two gateways at once, in a mixed order and twice each: every life stays a chain
/// without gaps, and ends as read.
pub async fn two_gateways_keep_every_life_in_line(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let port = free_port();
    let mut second = world.launch_at(Binary::Gateway, port);
    second.wait_until_ready().await;
    let gateways = [world.gateway_url(), format!("http://127.0.0.1:{port}")];
    let customer = world.customer().await;
    let messages = quiet_messages(&world, &customer, 30).await;
    let posts = messages.iter().enumerate().flat_map(|(n, (_, theirs))| {
        let mut words = ["sent", "delivered", "read"];
        words.rotate_left(n % 3);
        let (customer, gateways) = (&customer, &gateways);
        words.into_iter().enumerate().map(move |(m, word)| async move {
            let mut body = status(customer, theirs, word, None);
            meta::post(&gateways[(n + m) % 2], &body).await;
            body["entry"][0]["time"] = 1.into();
            meta::post(&gateways[(n + m + 1) % 2], &body).await;
        })
    });
    join_all(posts).await;
    all_applied(&database).await;
    for (message, _) in &messages {
        let life = life(&database, message).await;
        let possible = ["queued sending sent delivered read", "queued sending sent read"];
        assert!(possible.contains(&life.as_str()), "{message}: {life}");
    }
    let twice =
        "select count(*) from (select message_id, kind, status from events where message_id is not null
        group by 1, 2, 3 having count(*) > 1) t";
    assert_eq!(count(&database, twice).await, 0);
}

/// One POST that carries the whole life backwards, and the same message twice, is applied in one commit with one event
/// for each rise.
pub async fn one_post_may_hold_several_reports_of_a_message(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let customer = world.customer().await;
    let messages = quiet_messages(&world, &customer, 2).await;
    let item = |n: usize, word: &str| {
        let theirs: &str = &messages[n].1;
        serde_json::json!({"id": theirs, "status": word, "timestamp": "1769904001"})
    };
    let forwards = [item(0, "sent"), item(0, "delivered"), item(0, "delivered"), item(0, "read")];
    let backwards = [item(1, "read"), item(1, "delivered"), item(1, "sent")];
    let items: Vec<_> = forwards.into_iter().chain(backwards).collect();
    world.report(&database, &meta::callback(&customer, "statuses", &items.into())).await;
    assert_eq!(life(&database, &messages[0].0).await, "queued sending sent delivered read");
    assert_eq!(life(&database, &messages[1].0).await, "queued sending sent read");
    let commits = "select count(distinct xmin::text) from events where status in ('delivered', 'read')";
    assert_eq!(count(&database, commits).await, 1);
}

/// Reports that overtake the answer to the send itself: by our own mark they are known at once, and the answer that comes
/// later takes nothing back.
pub async fn a_report_may_overtake_the_answer(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let provider = Provider::start().await;
    let customer = provider.instance(&world, &world.customer().await, "scripted").await;
    provider.hold(true);
    let message = customer.accepted("+966500017000").await;
    let call = eventually("the call is made", async || provider.calls().pop()).await;
    let mark = call["biz_opaque_callback_data"].as_str().expect("our mark");
    world.report(&database, &status(&customer, &Provider::id(0), "delivered", Some(mark))).await;
    assert_eq!(life(&database, &message).await, "queued sending delivered");

    provider.hold(false);
    wait_for_count(&database, "select count(*) from attempts where provider_message_id is not null and code is null and finished_at is not null", 1).await;
    wait_for_count(&database, "select count(*) from messages where lease is null and due_at is null", 1)
        .await;
    assert_eq!(life(&database, &message).await, "queued sending delivered");
    world.report(&database, &status(&customer, &Provider::id(0), "read", None)).await;
    assert_eq!(life(&database, &message).await, "queued sending delivered read");
    assert_eq!(provider.calls().len(), 1);
}

/// A report without our mark, of an id that is not recorded yet, waits and takes effect once the send is recorded; one
/// that nobody ever knows is given up after ten minutes.
pub async fn a_report_of_an_unknown_id_waits_for_its_message(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (_deliver, database) = (world.start(Binary::Deliver).await, world.database().await);
    let provider = Provider::start().await;
    let customer = provider.instance(&world, &world.customer().await, "scripted").await;
    provider.hold(true);
    let message = customer.accepted("+966500017000").await;
    eventually("the call is made", async || provider.calls().pop()).await;
    meta::post(&world.gateway_url(), &status(&customer, &Provider::id(0), "read", None)).await;
    meta::post(&world.gateway_url(), &status(&customer, "wamid.NEVER==", "read", None)).await;
    let parked = "select count(*) from callbacks where tries > 0 and due_at > now()";
    wait_for_count(&database, parked, 2).await;
    assert_eq!(life(&database, &message).await, "queued sending");

    provider.hold(false);
    world.wait_for_status(&message, &["read"]).await;
    assert_eq!(life(&database, &message).await, "queued sending sent read");
    let waiting = "select count(*) from callbacks where due_at is not null";
    wait_for_count(&database, waiting, 1).await;
    let aged = "update callbacks set received_at = now() - interval '11 minutes', due_at = now() where due_at is not null";
    database.execute(aged, &[]).await.expect("the database answers");
    wait_for_count(&database, waiting, 0).await;
}

/// A failure reported after the provider took the message ends it with its error and its quota used; a proof of delivery
/// that comes later outranks it, and a second failure does not outrank that.
pub async fn delivery_outranks_a_reported_failure(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (customer, database) = (world.customer().await, world.database().await);
    let receiver = world.receiver(&customer).await;
    let message = customer.accepted("+966500010004").await;
    world.wait_for_status(&message, &["failed"]).await;
    let failure = rises(&database, &message).await.pop().expect("a rise");
    let error = Some("gateway_send_failed".to_owned());
    assert_eq!(failure, Rise { sequence: 3, from: "sent".into(), to: "failed".into(), error: error.clone() });
    let used = "select sum(used) from quota_usage";
    assert_eq!(count(&database, used).await, 2, "one message of the day, one of the month");

    let theirs = provider_id(&database, &message).await;
    world.report(&database, &status(&customer, &theirs, "sent", None)).await;
    world.report(&database, &status(&customer, &theirs, "delivered", None)).await;
    world.report(&database, &status(&customer, &theirs, "failed", None)).await;
    assert_eq!(life(&database, &message).await, "queued sending sent failed delivered");
    let last = rises(&database, &message).await.pop().expect("a rise");
    assert_eq!((last.sequence, last.from.as_str(), last.error), (4, "failed", None));
    let row = database.query_one("select error from messages", &[]).await.expect("one message");
    assert_eq!(row.get::<_, Option<String>>(0), None);

    let told = eventually("every rise is told", async || {
        let told = receiver.events("message.status_updated");
        (told.len() == 4).then_some(told)
    })
    .await;
    let failed = told.iter().find(|event| event["status"] == "failed").expect("the failure is told");
    assert_eq!(
        (&failed["error"], &failed["previous_status"]),
        (&"gateway_send_failed".into(), &"sent".into())
    );
}
