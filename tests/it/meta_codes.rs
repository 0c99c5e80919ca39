//! Every code of Meta's at work: what an answer, and a report that comes later, does to the message, its sender, its
//! recipient, and everybody else of the same account or app.

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::support::codes::{Case, Row, check_others, rows};
use crate::support::line::{Line, OURS, PERSON};
use crate::support::meta::all_applied;
use crate::support::process::Binary;
use crate::support::provider::Provider;
use crate::support::rows::life;
use crate::support::services::Services;
use crate::support::world::{Customer, World};

/// Whether an instance rests.
async fn rests(database: &Client, sender: &Customer) -> bool {
    let sql = "select coalesce(hold_until > now(), false) from instances where account_id = $1 and instance_id = $2";
    database.query_one(sql, &[&sender.account_id, &sender.instance]).await.expect("a row").get(0)
}

/// Each line of the table is the answer to a send of an instance of its own: message, sender, recipient and webhooks fare
/// as its class says. What concerns an account holds its other number and nobody else's; what concerns the app, everybody.
pub async fn every_code_acts_as_its_class(services: &Services) {
    let world = World::new(services).await;
    let _processes = world.start_all().await;
    let (provider, database) = (Provider::start().await, world.database().await);
    let admin = world.admin_inside().await;
    provider.hold(true);
    let customer = world.customer().await;
    let receiver = world.receiver(&customer).await;
    // In a webhook there is no status; the other test has that line.
    let all = rows().into_iter().filter(|row| row.is_listed() || row.http.is_some());
    let (wide, own): (Vec<Row>, Vec<Row>) =
        all.partition(|row| matches!(row.scope.as_str(), "account" | "app"));
    let mut cases = Vec::new();
    for (some, rows) in own.chunks(3).enumerate() {
        let sent = rows.iter().enumerate().map(async |(n, row)| {
            let n = some * 3 + n;
            let sender = provider.instance_by(&admin, &customer, &format!("line-{n}")).await;
            Case::send(&provider, sender, row.clone(), n).await
        });
        cases.extend(join_all(sent).await);
    }
    for case in &cases {
        case.check(&database).await;
        case.is_told(&receiver).await;
    }
    let (of_account, of_app): (Vec<Row>, Vec<Row>) = wide.into_iter().partition(|row| row.scope == "account");
    assert!(!of_account.is_empty() && of_app.len() == 1);
    let bystander = provider.instance_by(&admin, &customer, "bystander").await;
    for (n, row) in of_account.into_iter().chain(of_app).enumerate() {
        let customer = world.customer().await;
        let sender = provider.instance_by(&admin, &customer, "one").await;
        let other = provider.instance_by(&admin, &customer, "other").await;
        let case = Case::send(&provider, sender, row, 9000 + n).await;
        case.check(&database).await;
        assert!(rests(&database, &other).await, "{}", case.row.line);
        assert_eq!(rests(&database, &bystander).await, case.row.scope == "app", "{}", case.row.line);
    }
}

/// A callback in which the status of our first message is `failed`, with this error.
fn failed(line: &Line, code: i32, at: i64) -> Value {
    line.told(&json!({"object": "whatsapp_business_account", "entry": [{"id": "700100200300400", "changes": [
        {"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "966551112222", "phone_number_id": "10955"},
            "statuses": [{"id": OURS[0], "status": "failed", "timestamp": at.to_string(),
                "errors": [{"code": code, "title": "any"}]}]}}]}]}))
}

/// A callback with an error of the number's, and of no message.
fn of_sender(line: &Line, code: i32) -> Value {
    line.told(&json!({"object": "whatsapp_business_account", "entry": [{"id": "700100200300400", "changes": [
        {"field": "messages", "value": {"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "966551112222", "phone_number_id": "10955"},
            "errors": [{"code": code, "title": "any", "error_data": {"details": "words"}}]}}]}]}))
}

/// Every code as the reason of a failure that is reported after the provider had taken the message: the message fails,
/// whatever the class, and everybody else fares as if it had been the answer. Reported days late, it only fails the message.
pub async fn every_code_reported_later_acts_as_its_class(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let reported = rows().into_iter().filter(|row| {
        row.kind == "OAuthException" && row.subcode.is_none() && (row.is_listed() || row.http.is_none())
    });
    // What the app meets concerns every number, so it comes last.
    let (of_app, own): (Vec<Row>, Vec<Row>) = reported.partition(|row| row.scope == "app");
    let mut cases = Vec::new();
    for row in own {
        let (line, late) = (Line::open(&database).await, Line::open(&database).await);
        line.post(&world, &failed(&line, row.code, line.began + 250)).await;
        late.post(&world, &failed(&late, row.code, late.began - 86_400)).await;
        cases.push((row, line, late));
    }
    all_applied(&database).await;
    for (row, line, late) in &cases {
        let error = if row.class == "window" { "needs_template" } else { "gateway_send_failed" };
        for line in [line, late] {
            assert_eq!(life(&database, &line.messages[0]).await, "queued sending failed", "{}", row.line);
            assert!(line.effect(&database).await.starts_with(&format!("failed by {error}")), "{}", row.line);
        }
        check_others(&database, row, (line.account_id, "line"), PERSON).await;
        let effect = late.effect(&database).await;
        assert_eq!(effect.contains("non_essential stopped"), row.opt_out, "{}: {effect}", row.line);
        assert!(!effect.contains("because"), "{}: {effect}", row.line);
    }
    assert_eq!(of_app.len(), 1);
    for row in of_app {
        let (line, other) = (Line::open(&database).await, Line::open(&database).await);
        line.post(&world, &failed(&line, row.code, line.began + 250)).await;
        all_applied(&database).await;
        check_others(&database, &row, (line.account_id, "line"), PERSON).await;
        assert!(other.effect(&database).await.contains("held because meta 4:"), "{}", row.line);
    }
}

/// Every code as an error of the number itself, without a message: what stops a sender stops it, and nothing else happens.
pub async fn every_code_of_the_sender_acts_as_its_class(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let reported = rows()
        .into_iter()
        .filter(|row| row.kind == "OAuthException" && row.subcode.is_none() && row.is_listed());
    let (of_app, own): (Vec<Row>, Vec<Row>) = reported.partition(|row| row.scope == "app");
    let mut cases = Vec::new();
    for row in own {
        let line = Line::open(&database).await;
        line.post(&world, &of_sender(&line, row.code)).await;
        cases.push((row, line));
    }
    all_applied(&database).await;
    for (row, line) in &cases {
        let effect = line.effect(&database).await;
        let expected = match (row.class.as_str(), row.hold()) {
            ("instance", _) => "suspect because",
            (_, Some(_)) => "held because",
            (_, None) => "",
        };
        assert!(
            effect.starts_with(expected) && effect.is_empty() == expected.is_empty(),
            "{}: {effect}",
            row.line
        );
        if row.hold().is_some() || row.class == "instance" {
            let row = Row { class: row.class.clone(), opt_out: false, ..row.clone() };
            check_others(&database, &row, (line.account_id, "line"), PERSON).await;
        }
    }
    assert_eq!(of_app.len(), 1);
    for row in of_app {
        let (line, other) = (Line::open(&database).await, Line::open(&database).await);
        line.post(&world, &of_sender(&line, row.code)).await;
        all_applied(&database).await;
        for line in [&line, &other] {
            assert!(line.effect(&database).await.starts_with("held because meta 4:"), "{}", row.line);
        }
    }
}
