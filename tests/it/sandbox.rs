//! The sandbox's magic recipients, each on both wires: what the message ends as, what its first call came to, and what
//! follows for the recipient or the instance.

use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::Client;

use crate::support::process::Process;
use crate::support::provider::add_instance;
use crate::support::services::Services;
use crate::support::within;
use crate::support::world::{Customer, World};

/// What follows besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Nothing.
    Nothing,
    /// The recipient is suppressed.
    Stopped,
    /// What the provider had suppressed is lifted.
    Started,
    /// The instance has this connection.
    Connection(&'static str),
    /// The instance had this connection and is open again.
    Was(&'static str),
}
use Then::{Connection, Nothing, Started, Stopped, Was};

/// The ending; the message's status; the outcome of its first call; what follows.
type Row = (&'static str, &'static str, &'static str, Then);

/// The same on both wires.
const BOTH: &[Row] = &[
    ("0001", "read", "accepted", Nothing),
    ("0002", "delivered", "accepted", Nothing),
    ("0003", "sent", "accepted", Nothing),
    ("0004", "failed", "accepted", Nothing),
    ("0005", "failed", "accepted", Nothing),
    ("0010", "failed", "permanent", Nothing),
    ("0011", "failed", "recipient", Nothing),
    ("0022", "read", "retry", Nothing),
    ("0023", "sending", "retry", Nothing),
    ("0031", "failed", "unknown", Nothing),
    ("0032", "failed", "unknown", Nothing),
    ("0033", "failed", "unknown", Nothing),
    ("0034", "failed", "unknown", Nothing),
    ("0035", "failed", "unknown", Nothing),
    ("0040", "sending", "instance", Connection("suspect")),
    ("0050", "delivered", "accepted", Stopped),
    ("0051", "delivered", "accepted", Stopped),
    ("0052", "delivered", "accepted", Started),
    ("0053", "delivered", "accepted", Stopped),
    ("0054", "delivered", "accepted", Stopped),
    ("0055", "delivered", "accepted", Started),
    ("0056", "delivered", "accepted", Started),
    ("0060", "read", "accepted", Nothing),
];

const META: &[Row] = &[
    ("0012", "failed", "window", Nothing),
    ("0020", "read", "throttle_sender", Nothing),
    ("0021", "read", "throttle_pair", Nothing),
    // The reports name the call by its mark, so that nothing stays unknown.
    ("0030", "read", "accepted", Nothing),
];

const EVOLUTION: &[Row] = &[
    ("0012", "read", "accepted", Nothing),
    ("0013", "failed", "unknown", Nothing),
    ("0020", "read", "instance", Was("suspect")),
    // Its reports name an id that nobody was told; they would be recognised by the text, half a minute later.
    ("0030", "failed", "unknown", Nothing),
    ("0041", "sending", "instance", Connection("suspect")),
    ("0042", "sending", "instance", Connection("suspect")),
    ("0043", "sent", "accepted", Was("connecting")),
    ("0044", "sent", "accepted", Connection("close")),
];

/// Longer than the slowest recipient on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(90);

struct Scene {
    world: World,
    database: Client,
    customer: Customer,
    _processes: Vec<Process>,
}

impl Scene {
    async fn new(services: &Services) -> Self {
        let mut world = World::new(services).await;
        world.set("GATEPOST_PROVIDER_TIMEOUT_MS", 3_000);
        world.set("GATEPOST_UNKNOWN_DEADLINE_MS", 3_000);
        world.set("GATEPOST_CONNECTION_POLL_MS", 2_000);
        world.let_crowds_pass();
        let processes = world.start_all().await;
        let (customer, database) = (world.customer().await, world.database().await);
        Self { world, database, customer, _processes: processes }
    }

    /// An instance of its own for each ending that stops its sender; given as a customer who sends from it.
    async fn meta(&self, (ending, .., then): &Row) -> Customer {
        match (then, *ending) {
            (Connection(_) | Was(_), _) | (_, "0020") => {
                add_instance(&self.world, &self.customer, ending, &self.world.sandbox_url).await
            }
            _ => self.customer.clone(),
        }
    }

    /// The same on Evolution's wire, reporting to the gateway.
    async fn evolution(&self, (ending, .., then): &Row, others: &Customer) -> Customer {
        match (then, *ending) {
            (Connection(_) | Was(_), _) | (_, "all") => {}
            _ => return others.clone(),
        }
        let server = self.world.sandbox_url.trim_end_matches("/v23.0");
        let which = ["--account", &self.customer.account, "--id", ending];
        let mut create = vec!["instance", "create", "--name", "Line", "--provider", "evolution"];
        create.extend(["--base-url", server, "--provider-instance", ending]);
        create.extend(["--token-env", "SANDBOX_TOKEN", "--rate", "100000/s,burst=1000"]);
        self.world.admin(&[&create[..], &which[..]].concat()).await;
        let gateway = self.world.gateway_url();
        let register = ["instance", "register-webhook", "--callback-url", &gateway];
        self.world.admin(&[&register[..], &which[..]].concat()).await;
        Customer { instance: (*ending).to_owned(), ..self.customer.clone() }
    }

    /// Sends to the recipient, and waits until all is as the row says; tells what is not.
    async fn play(&self, customer: Customer, row: Row) -> Option<String> {
        let (ending, status, outcome, then) = row;
        let phone = format!("+96650012{ending}");
        let mut body = customer.message(&phone);
        if then == Started {
            // Something to be lifted, which lets codes pass.
            let sql = "insert into suppressions (account_id, recipient, scope, source, created_at)
                       values ($1, $2, 'non_essential', 'provider', now() - interval '1 hour')";
            let recipient = phone.trim_start_matches('+');
            self.database.execute(sql, &[&customer.account_id, &recipient]).await.expect("it can be made");
            body = customer.code(&phone);
        }
        let answer = customer.send(&body).await;
        assert_eq!(answer.status, 202, "{ending}: {}", answer.text);
        let message = answer.message_id();
        let as_expected = async {
            let mut seen = String::new();
            let deadline = tokio::time::Instant::now() + PATIENCE;
            let expected = format!("{status} after {outcome}, {then:?}");
            while tokio::time::Instant::now() < deadline {
                seen = self.found(&message, &customer, then).await;
                if seen == expected {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Some(format!("{ending}: {seen} instead of {expected}"))
        };
        as_expected.await
    }

    /// The message's status, the outcome of its first call, and whether the consequence is there.
    async fn found(&self, message: &str, customer: &Customer, then: Then) -> String {
        let sql = "select m.status::text, coalesce(a.outcome, '-'), n.connection,
                coalesce((select string_agg(s.scope, ' ') from suppressions s
                    where s.account_id = m.account_id and s.recipient = m.recipient), ''),
                coalesce((select string_agg(e.state, ' ') from events e where e.account_id = m.account_id
                    and e.instance_id = m.instance_id and e.kind = 'instance.connection_updated'), '')
            from messages m join instances n on n.account_id = m.account_id and n.instance_id = m.instance_id
            left join attempts a on a.account_id = m.account_id and a.message_id = m.message_id and a.attempt = 1
            where m.account_id = $1 and m.message_id = $2::text::uuid";
        let row = self.database.query_one(sql, &[&customer.account_id, &message]).await.expect("a row");
        let (connection, scopes, were): (&str, &str, &str) = (row.get(2), row.get(3), row.get(4));
        let done = match then {
            Nothing | Started => scopes.is_empty(),
            Stopped => scopes == "all",
            Connection(state) => connection == state,
            Was(state) => connection == "open" && were.split(' ').any(|were| were == state),
        };
        let then = if done { format!("{then:?}") } else { format!("{connection} ({were}) {scopes}") };
        format!("{} after {}, {then}", row.get::<_, &str>(0), row.get::<_, &str>(1))
    }
}

/// Every magic recipient on Meta's wire.
pub async fn sandbox_recipients_on_metas_wire(services: &Services) {
    let scene = Scene::new(services).await;
    let mut plays = Vec::new();
    for row in BOTH.iter().chain(META) {
        plays.push(scene.play(scene.meta(row).await, *row));
    }
    let differ: Vec<String> = join_all(plays).await.into_iter().flatten().collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// Every magic recipient on Evolution's wire, whose reports come to the address that was registered.
pub async fn sandbox_recipients_on_evolutions_wire(services: &Services) {
    let scene = Scene::new(services).await;
    let others = scene.evolution(&("all", "", "", Nothing), &scene.customer).await;
    let mut plays = Vec::new();
    for row in BOTH.iter().chain(EVOLUTION) {
        plays.push(scene.play(scene.evolution(row, &others).await, *row));
    }
    let differ: Vec<String> = join_all(plays).await.into_iter().flatten().collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

/// By hand: somebody writes to an instance of Evolution's, and its connection changes.
pub async fn sandbox_is_told_what_happens_at_an_instance(services: &Services) {
    let scene = Scene::new(services).await;
    let customer = scene.evolution(&("all", "", "", Nothing), &scene.customer).await;
    let server = scene.world.sandbox_url.trim_end_matches("/v23.0");
    let ask = async |path: &str, body: serde_json::Value| {
        let answer = customer.http.post(format!("{server}/sandbox/{path}")).json(&body).send().await;
        assert_eq!(answer.expect("the sandbox answers").status().as_u16(), 202);
    };
    let wait = async |what: &str, sql: &'static str| {
        within(PATIENCE, what, async || {
            (crate::support::rows::count(&scene.database, sql).await == 1).then_some(())
        })
        .await;
    };
    ask("inbound", serde_json::json!({"from": "+966500129999", "text": "STOP", "instance": "all"})).await;
    wait("the opt-out", "select count(*) from suppressions where recipient = '966500129999'").await;
    let closed = "select count(*) from instances where instance_id = 'all' and connection = 'close'";
    ask("connection", serde_json::json!({"instance": "all", "state": "close"})).await;
    wait("the connection", closed).await;
    let refused = customer.send(&customer.message("+966500120001")).await;
    assert_eq!(refused.error(), "gateway_send_failed", "{}", refused.text);
    ask("connection", serde_json::json!({"instance": "all", "state": "open"})).await;
    wait(
        "the connection",
        "select count(*) from instances where instance_id = 'all' and connection = 'open'",
    )
    .await;
}
