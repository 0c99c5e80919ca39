//! An instance's connection as Evolution reports it, and as operators and refusals have it.

use futures_util::future::join_all;
use tokio_postgres::Client;

use crate::support::desk::{Desk, sample};
use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::World;

async fn connection(database: &Client, desk: &Desk) -> (String, String, Option<String>) {
    let sql = "select connection, connection_by, hold_reason from instances where account_id = $1 and instance_id = $2";
    let row = database.query_one(sql, &[&desk.account_id, &desk.instance]).await.expect("it exists");
    (row.get(0), row.get(1), row.get(2))
}

/// Each report is told to the customer once, with the provider as its reason; the operator reads why.
pub async fn reports_are_told_and_explained(services: &Services) {
    let world = World::new(services).await;
    let processes = [Binary::Gateway, Binary::Notify, Binary::Sweep];
    let _processes = join_all(processes.map(|binary| world.start(binary))).await;
    let database = world.database().await;
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    let desk = Desk::of(&database, customer.account_id, "shop-main").await;
    // Nobody else is to be asked how it is connected.
    let nowhere = "update instances set base_url = 'http://127.0.0.1:1'";
    database.execute(nowhere, &[]).await.expect("the database answers");
    let steps = [
        ("connection_connecting", "connecting", Some("evolution reports connecting (code 200)")),
        ("connection_logged_out", "close", Some("evolution reports close (code 401)")),
        ("logout_instance", "close", Some("evolution reports close")),
        ("connection_open", "open", None),
    ];
    for (name, state, why) in steps {
        desk.report(&world, &database, &sample(name)).await;
        let expected = (state.to_owned(), "provider".to_owned(), why.map(str::to_owned));
        assert_eq!(connection(&database, &desk).await, expected, "{name}");
        let sent = customer.send(&customer.message("+966500017001")).await;
        let refused = if state == "close" { "gateway_send_failed" } else { "" };
        assert_eq!(sent.error(), refused, "{name}: {}", sent.text);
    }
    let told = eventually("each change is told", async || {
        let told = receiver.events("instance.connection_updated");
        (told.len() == 3).then_some(told)
    })
    .await;
    let mut changes: Vec<String> = told
        .iter()
        .map(|event| {
            assert_eq!(event["reason"], "provider");
            format!("{}→{}", event["previous_connection"], event["connection"]).replace('"', "")
        })
        .collect();
    changes.sort();
    assert_eq!(changes, ["close→open", "connecting→close", "open→connecting"]);
}

/// What an operator closed, held or called suspect is opened by the operator alone, and a pause stays whatever is reported;
/// what the provider's own refusals made suspect is open again with the next connection.
pub async fn the_operators_word_stays(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    let account = desk.account_id.to_string();
    for held in ["suspect", "close", "connecting"] {
        let set = ["instance", "set-connection", "--account", &account, "--id", "front-desk"];
        world.admin(&[&set[..], &[held]].concat()).await;
        for name in ["connection_open", "connection_connecting", "connection_logged_out"] {
            desk.report(&world, &database, &sample(name)).await;
            let (state, by, _) = connection(&database, &desk).await;
            assert_eq!((state.as_str(), by.as_str()), (held, "operator"), "{name}");
        }
        world.admin(&[&set[..], &["open"]].concat()).await;
        // Each a new callback, since the very same one is a repeat.
        database.execute("delete from callbacks", &[]).await.expect("the database answers");
    }
    desk.report(&world, &database, &sample("connection_logged_out")).await;
    assert_eq!(connection(&database, &desk).await.0, "close");

    let refused =
        "update instances set connection = 'suspect', connection_by = 'provider', hold_reason = 'refused'";
    database.execute(refused, &[]).await.expect("the database answers");
    let pause = ["instance", "pause", "--account", &account, "--id", "front-desk", "--by", "Somebody"];
    world.admin(&pause).await;
    desk.report(&world, &database, &sample("connection_open")).await;
    assert_eq!(connection(&database, &desk).await, ("open".to_owned(), "provider".to_owned(), None));
    assert_eq!(count(&database, "select count(*) from instances where paused_at is not null").await, 1);
}

/// A report that is applied late does not undo a newer one, nor what the operator has said meanwhile.
pub async fn an_older_report_changes_nothing(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    desk.report(&world, &database, &sample("connection_open")).await;
    let late =
        "insert into callbacks (account_id, body_hash, provider, instance_id, body, received_at, due_at)
                values ($1, '\\x01', 'evolution', $2, $3, now() - interval '1 minute', now())";
    let body = sample("connection_logged_out").to_string().into_bytes();
    database.execute(late, &[&desk.account_id, &desk.instance, &body]).await.expect("it can be stored");
    crate::support::meta::all_applied(&database).await;
    assert_eq!(connection(&database, &desk).await.0, "open");
}
