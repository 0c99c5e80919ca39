//! Callbacks by the thousand, again and again, and from people who want to keep others out.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::meta::{callback, post, text};
use crate::support::process::Binary;
use crate::support::rows::{count, life, provider_id, wait_for_count};
use crate::support::services::Services;
use crate::support::world::World;

/// A POST of a thousand updates, some of them broken: every other has its effect, and a repeat of it has none.
pub async fn a_thousand_updates_in_one_post_all_count(services: &Services) {
    let world = World::new(services).await;
    let _processes = [world.start(Binary::Gateway).await, world.start(Binary::Deliver).await];
    let (customer, database) = (world.customer().await, world.database().await);
    let mut messages = Vec::new();
    for n in 0..5 {
        let message = customer.accepted(&format!("+9665000{n}0003")).await;
        world.wait_for_status(&message, &["sent"]).await;
        messages.push((provider_id(&database, &message).await, message));
    }
    let statuses = (0..500).map(|n| {
        let words = ["read", "sent", "delivered", "warming_up"];
        json!({"id": messages[n % 5].0, "status": words[n / 5 % 4], "timestamp": "1769904001"})
    });
    let said = (0..500).map(|n| match n % 5 {
        0 => json!({"from": 7, "type": "text"}),
        kind => {
            let words = if kind == 1 { "When do you open?" } else { "STOP" };
            json!({"from": format!("96650001{n:04}"), "id": format!("wamid.IN{n}=="), "timestamp": "1769904100",
                "type": "text", "text": {"body": words}})
        }
    });
    let mut body = callback(&customer, "statuses", &Value::Array(statuses.collect()));
    let texts = callback(&customer, "messages", &Value::Array(said.collect()));
    let changes = body["entry"][0]["changes"].as_array_mut().expect("a list");
    changes.extend(texts["entry"][0]["changes"].as_array().expect("a list").clone());
    world.report(&database, &body).await;
    for (_, message) in &messages {
        assert_eq!(life(&database, message).await, "queued sending sent read");
    }
    let facts = "select (select count(*) from suppressions) * 1000000
        + (select count(*) from inbound_messages) * 1000 + (select count(*) from events)";
    let before = count(&database, facts).await;
    assert_eq!(before / 1000, 300 * 1000 + 400, "opt-outs, and what was heard");
    body["entry"][0]["time"] = 1.into();
    world.report(&database, &body).await;
    assert_eq!(count(&database, facts).await, before);
}

/// What a provider repeats for a week changes nothing, even where the person has changed their mind since; after a day
/// more, neither the bodies nor what was heard in them is kept.
pub async fn repeats_of_a_week_change_nothing(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let stop = text(&customer, "966500017001", "wamid.STOP==", "STOP");
    world.report(&database, &stop).await;
    world.report(&database, &text(&customer, "966500017001", "wamid.START==", "START")).await;
    let kept = async |which: &str| {
        count(&database, &format!("select count(*) from callbacks c, inbound_messages i where {which}")).await
    };
    // Aged by all but an hour of what they are kept for, beside one each that is older.
    let aged = "update callbacks set received_at = now() - interval '7 days 23 hours';
        update inbound_messages set received_at = now() - interval '7 days 23 hours';
        insert into callbacks (account_id, body_hash, provider, body, received_at)
            values (0, 'old', 'meta', '', now() - interval '8 days 1 hour');
        insert into inbound_messages (account_id, instance_id, provider_message_id, received_at)
            values (0, 'old', 'old', now() - interval '8 days 1 hour')";
    database.batch_execute(aged).await.expect("they can be aged");
    let sweep = world.start(Binary::Sweep).await;
    let old = "select (select count(*) from callbacks where body_hash = 'old')
        + (select count(*) from inbound_messages where instance_id = 'old')";
    wait_for_count(&database, old, 0).await;
    assert_eq!(kept("true").await, 4, "two of each");
    let mut repeated = stop.clone();
    repeated["entry"][0]["time"] = 1.into();
    for body in [&stop, &repeated] {
        world.report(&database, body).await;
    }
    assert_eq!(count(&database, "select count(*) from suppressions").await, 0);
    assert_eq!(count(&database, "select count(*) from callbacks").await, 3);

    sweep.kill().await;
    let aged = "update callbacks set received_at = now() - interval '8 days 1 minute';
        update inbound_messages set received_at = now() - interval '8 days 1 minute'";
    database.batch_execute(aged).await.expect("they can be aged");
    let _sweep = world.start(Binary::Sweep).await;
    for table in ["callbacks", "inbound_messages"] {
        wait_for_count(&database, &format!("select count(*) from {table}"), 0).await;
    }
}

/// What the database refuses for good is given up after its tries, and is not in the way of others; ids and times that
/// cannot be are passed over, and the rest of the body counts.
pub async fn what_cannot_be_stored_is_in_nobodys_way(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let mut odd = text(&customer, "966500017001", &"w".repeat(5_000), "STOP");
    let items = &mut odd["entry"][0]["changes"][0]["value"]["messages"];
    for (n, time) in ["-377705023201", "9999999999"].into_iter().enumerate() {
        let item = json!({"from": format!("96650001700{}", n + 2), "id": format!("wamid.T{n}=="), "timestamp": time,
            "type": "text", "text": {"body": "STOP"}});
        items.as_array_mut().expect("a list").push(item);
    }
    world.report(&database, &odd).await;
    let stopped = "select count(*) from suppressions where recipient in ('966500017002', '966500017003')
        and created_at between now() - interval '1 minute' and now()";
    assert_eq!(count(&database, stopped).await, 2);
    assert_eq!(count(&database, "select count(*) from suppressions").await, 2);

    let refuses = "create function refuse() returns trigger language plpgsql as
            $$ begin raise exception 'no' using errcode = '22000'; end $$;
        create trigger refuses before insert on inbound_messages for each row
            when (new.provider_message_id = 'wamid.BAD==') execute function refuse()";
    database.batch_execute(refuses).await.expect("it can be made");
    post(&world.gateway_url(), &text(&customer, "966500017004", "wamid.BAD==", "STOP")).await;
    wait_for_count(&database, "select count(*) from callbacks where tries = 1 and due_at is not null", 1)
        .await;
    let last = "update callbacks set tries = 9, due_at = now() where due_at is not null";
    database.execute(last, &[]).await.expect("it can be set");
    wait_for_count(&database, "select count(*) from callbacks where due_at is null and not heard", 1).await;
    world.report(&database, &text(&customer, "966500017005", "wamid.GOOD==", "STOP")).await;
    assert_eq!(count(&database, "select count(*) from suppressions").await, 3);
}

/// A hundred strangers who announce large bodies and send nothing of them keep no callback waiting, and those who cannot
/// sign are refused.
pub async fn slow_strangers_keep_nobody_waiting(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let (customer, database) = (world.customer().await, world.database().await);
    let head = format!(
        "POST /callbacks/meta HTTP/1.1\r\nhost: gateway\r\ncontent-length: 4000000\r\nx-hub-signature-256: sha256={}\r\n\r\n{{",
        "0".repeat(64)
    );
    let mut strangers = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(("127.0.0.1", world.gateway_port)).await.expect("it listens");
        stream.write_all(head.as_bytes()).await.expect("it is taken");
        strangers.push(stream);
    }
    let begin = Instant::now();
    for n in 0..20 {
        post(&world.gateway_url(), &text(&customer, "966500017001", &format!("wamid.IN{n}=="), "Thanks"))
            .await;
    }
    // Bodies have twenty seconds: without a way past them, the first would have waited for that.
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    wait_for_count(&database, "select count(*) from inbound_messages", 20).await;
    drop(strangers);
}
