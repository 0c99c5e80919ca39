//! `log show`: why a message was accepted or refused.

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::process::Binary;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::{Customer, World};

const PHONE: &str = "+966500070001";

async fn show(world: &World, log_id: i64) -> Value {
    world.admin(&["log", "show", &log_id.to_string()]).await
}

/// The value behind that name in the text.
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("  "));
    found.unwrap_or_else(|| panic!("{name} in {text}")).trim_start()
}

/// The log's row of the latest refusal with that error.
async fn refused(world: &World, error: &str) -> i64 {
    let sql = "select max(log_id) from policy_log where error_code = $1";
    world.database().await.query_one(sql, &[&error]).await.expect("the log can be read").get(0)
}

/// Writes a decision into the log as the guard does; gives its number.
async fn logged(world: &World, customer: &Customer, signals: &str, facts: Option<&str>) -> i64 {
    let sql = "insert into policy_log (account_id, api_key_id, instance_id, purpose, action, risk_score, error_code,
                   signals, rules_version, facts, recipient_hash, request_id, created_at)
               values ($1, $2::text::uuid, 'shop-main', 'transactional', 'block', 95, 'policy_violation',
                   $3::text::jsonb, '3', $4::text::jsonb, '\\xdecafbad', 'req_7', '2026-08-01T10:00:00Z')
               returning log_id";
    let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&customer.account_id, &customer.key_id, &signals, &facts];
    world.database().await.query_one(sql, &params).await.expect("a decision can be logged").get(0)
}

/// An accepted send and two refused ones are explained by the numbers that the log gave them.
pub async fn log_explains_real_sends(services: &Services) {
    let world = World::new(services).await;
    let _gateway = world.start(Binary::Gateway).await;
    let customer = world.customer().await;
    let accepted = customer.send(&customer.message(PHONE)).await;
    let log_id = accepted.body["log_id"].as_i64().expect("it was accepted");
    let shown = show(&world, log_id).await;
    let names: Vec<&str> = shown.as_object().expect("an object").keys().map(String::as_str).collect();
    let expected = [
        "account_id",
        "action",
        "api_key_id",
        "at",
        "error",
        "facts",
        "instance_id",
        "log_id",
        "message_id",
        "purpose",
        "request_id",
        "risk_score",
        "rules_version",
        "signals",
    ];
    assert_eq!(names, expected);
    for (name, value) in [
        ("log_id", json!(log_id)),
        ("account_id", json!(customer.account_id)),
        ("api_key_id", json!(customer.key_id)),
        ("instance_id", json!("shop-main")),
        ("purpose", json!("transactional")),
        ("action", json!("allow")),
        ("error", Value::Null),
        ("message_id", json!(accepted.message_id())),
        ("request_id", json!(accepted.header("x-request-id"))),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert!(shown["signals"].is_array(), "{shown}");
    let text = world.admin_text(&["log", "show", &log_id.to_string(), "--account", &customer.account]).await;
    assert_eq!((line(&text, "action"), line(&text, "error")), ("allow", "-"));
    assert_eq!(
        (line(&text, "message"), line(&text, "at")),
        (&*accepted.message_id(), shown["at"].as_str().unwrap())
    );

    world.admin(&["suppression", "add", "--account", &customer.account, "--phone", PHONE]).await;
    assert_eq!(customer.send(&customer.message(PHONE)).await.error(), "recipient_suppressed");
    let shown = show(&world, refused(&world, "recipient_suppressed").await).await;
    assert_eq!([&shown["action"], &shown["error"]], ["block", "recipient_suppressed"]);
    assert_eq!((&shown["risk_score"], &shown["message_id"]), (&json!(100), &Value::Null));
    let mut body = customer.message(PHONE);
    body["message_purpose"] = "marketing".into();
    assert_eq!(customer.send(&body).await.error(), "message_purpose_not_allowed");
    let log_id = refused(&world, "message_purpose_not_allowed").await;
    let text = world.admin_text(&["log", "show", &log_id.to_string()]).await;
    assert_eq!((line(&text, "error"), line(&text, "message")), ("message_purpose_not_allowed", "-"));
    assert_eq!((line(&text, "decision"), line(&text, "purpose")), (&*log_id.to_string(), "-"));
}

/// Signals and facts are shown as they were logged, whatever is in them; the recipient's hash is not shown.
pub async fn log_shows_signals_and_facts(services: &Services) {
    let world = World::new(services).await;
    let customer = world.customer().await;
    let signals = json!([
        {"rule": "same_text", "weight": 60, "facts": {"recipients": 31, "window_seconds": 600}},
        {"rule": "link", "weight": 35, "facts": {}},
    ]);
    let facts = json!({"used_today": 99, "daily_limit": 100, "note": "two\nlines"});
    let log_id = logged(&world, &customer, &signals.to_string(), Some(&facts.to_string())).await;
    let shown = show(&world, log_id).await;
    assert_eq!((&shown["signals"], &shown["facts"]), (&signals, &facts));
    assert_eq!((&shown["rules_version"], &shown["at"]), (&json!("3"), &json!("2026-08-01T10:00:00Z")));
    let text = world.admin_text(&["log", "show", &log_id.to_string()]).await;
    let expected = format!(
        "decision     {log_id}\n\
         account      {}\n\
         at           2026-08-01T10:00:00Z\n\
         request      req_7\n\
         API key      {}\n\
         instance     shop-main\n\
         purpose      transactional\n\
         action       block\n\
         risk score   95\n\
         error        policy_violation\n\
         message      -\n\
         rules        3\n\
         daily_limit  100\n\
         note         \"two\\nlines\"\n\
         used_today   99\n\
         \n\
         rule       weight  facts\n\
         same_text  60      recipients=31 window_seconds=600\n\
         link       35      -\n",
        customer.account, customer.key_id
    );
    assert_eq!(text, expected);
    assert!(!shown.to_string().contains("decafbad"), "{shown}");
    let none = logged(&world, &customer, "[]", None).await;
    let text = world.admin_text(&["log", "show", &none.to_string()]).await;
    assert!(text.ends_with("rules       3\n\nno rule fired\n"), "{text}");
    assert_eq!(show(&world, none).await["facts"], Value::Null);
}

/// A decision that is not there, or not that account's, is said to be missing; a number that is none is refused.
pub async fn log_names_what_is_not_there(services: &Services) {
    let world = World::new(services).await;
    let (customer, other) = (world.customer().await, world.customer().await);
    let log_id = logged(&world, &customer, "[]", None).await.to_string();
    for (line, problem) in [
        (vec!["log", "show", "999999"], "there is no decision 999999".to_owned()),
        (
            vec!["log", "show", &log_id, "--account", &other.account],
            format!("account {} has no decision {log_id}", other.account),
        ),
        (vec!["log", "show", &log_id, "--account", "999999"], "account 999999 does not exist".to_owned()),
    ] {
        assert_eq!(world.admin_fails(1, &line).await, problem);
    }
    for id in ["0", "abc", "99999999999999999999"] {
        assert!(world.admin_refuses(&["log", "show", id]).await.contains("whole number from 1 on"), "{id}");
    }
}

/// A decision is looked for by its number alone with one look into each account's part of each partition of the log, not by
/// reading it.
pub async fn log_is_not_read_through(services: &Services) {
    let world = World::new(services).await;
    let database = world.database().await;
    for _ in 0..4 {
        world.admin(&["account", "create", "--name", "Shop", "--plan", "scale"]).await;
    }
    let many = "insert into policy_log (account_id, api_key_id, action, risk_score, request_id)
                select account_id, gen_random_uuid(), 'allow', 0, n::text from generate_series(1, 5000) n, accounts";
    database.batch_execute(many).await.expect("decisions can be logged");
    database.batch_execute("analyze").await.expect("the planner can be told");
    let scans = async || {
        let sql = "select sum(seq_scan)::int8, sum(idx_scan)::int8 from pg_stat_user_tables
            where relid in (select inhrelid from pg_inherits where inhparent = 'policy_log'::regclass)";
        let row = database.query_one(sql, &[]).await.expect("the statistics can be read");
        (row.get::<_, i64>(0), row.get::<_, i64>(1))
    };
    let before = scans().await;
    world.admin_fails(1, &["log", "show", "999999"]).await;
    let after = eventually("the look-up is counted", async || {
        let now = scans().await;
        (now != before).then_some(now)
    })
    .await;
    let partitions = "select count(*) from pg_inherits where inhparent = 'policy_log'::regclass";
    let looks = 4 * count(&database, partitions).await;
    assert_eq!(
        (after.0 - before.0, after.1 - before.1),
        (0, looks),
        "sequential scans and looks into the key"
    );
}
