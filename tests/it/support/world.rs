//! One test's world: a database, queues and a sandbox of its own, and the product's processes in front of them.

use std::path::PathBuf;
use std::time::Duration;

use gatepost::admin::Admin;
use gatepost::config::{AdminConfig, Hidden};
use gatepost::sandbox;
use gatepost::store::migrations;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use super::process::{Binary, Process, command};
use super::receiver::Receiver;
use super::services::{Services, free_port};

/// Signs the sandbox's callbacks.
pub const APP_SECRET: &str = "the sandbox's app secret";
/// Expected in Meta's handshake.
pub const VERIFY_TOKEN: &str = "the verify token";
/// 32 bytes in base64.
pub const SECRET_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// One test's world.
pub struct World {
    pub database_url: String,
    pub amqp_url: String,
    pub prefix: String,
    pub folder: PathBuf,
    pub gateway_port: u16,
    pub sandbox_url: String,
    settings: Vec<(String, String)>,
    stop: CancellationToken,
}

/// An answer of the gateway.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    /// Byte for byte.
    pub text: String,
    pub body: Value,
}

impl Answer {
    /// The error code of a refusal.
    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The message's id.
    pub fn message_id(&self) -> String {
        self.body["message_id"].as_str().unwrap_or_else(|| panic!("accepted: {}", self.text)).to_owned()
    }
}

/// Reads a whole answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.timeout(Duration::from_secs(40)).send().await.expect("the gateway answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await.expect("the answer has a whole body");
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Answer { status, headers, text, body }
}

/// Six digits that differ from phone to phone: one text to many people would be a broadcast.
fn number(phone: &str) -> &str {
    &phone[phone.len().saturating_sub(6)..]
}

/// An account with one instance of the sandbox and one key.
#[derive(Clone, Debug)]
pub struct Customer {
    pub account: String,
    pub account_id: i64,
    pub instance: String,
    pub phone_number_id: String,
    pub key: String,
    pub key_id: String,
    pub gateway_url: String,
    pub http: reqwest::Client,
}

impl Customer {
    /// A send's body: an ordinary message to that phone.
    pub fn message(&self, phone: &str) -> Value {
        json!({
            "instance_id": self.instance, "phone": phone,
            "message": format!("Your invoice INV-{} is ready.", number(phone)), "message_purpose": "transactional",
        })
    }

    /// An authentication message to that phone.
    pub fn code(&self, phone: &str) -> Value {
        json!({
            "instance_id": self.instance, "phone": phone,
            "message": format!("Your code is {}.", number(phone)), "message_purpose": "authentication",
        })
    }

    /// A request that can be changed before it is sent.
    pub fn request(&self, body: &Value) -> reqwest::RequestBuilder {
        self.request_at(&self.gateway_url, body)
    }

    /// As [`Self::request`], to another gateway.
    pub fn request_at(&self, gateway_url: &str, body: &Value) -> reqwest::RequestBuilder {
        self.http.post(format!("{gateway_url}/api/send-message")).bearer_auth(&self.key).json(body)
    }

    /// Sends.
    pub async fn send(&self, body: &Value) -> Answer {
        answer(self.request(body)).await
    }

    /// Sends an ordinary message that must be accepted; gives its id.
    pub async fn accepted(&self, phone: &str) -> String {
        let answer = self.send(&self.message(phone)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.message_id()
    }
}

impl World {
    /// A world on the shared servers.
    pub async fn new(services: &Services) -> Self {
        Self::on(services.database_url(), services.amqp_url()).await
    }

    /// A world on these servers.
    pub async fn on(server_url: &str, amqp_url: &str) -> Self {
        Self::with_sandbox(server_url, amqp_url, |settings| settings).await
    }

    /// A world whose sandbox has its own settings.
    pub async fn with_sandbox(
        server_url: &str,
        amqp_url: &str,
        change: impl FnOnce(sandbox::Settings) -> sandbox::Settings,
    ) -> Self {
        let name = format!("t{:016x}", rand::random::<u64>());
        let database_url = create_database(server_url, &name).await;
        let folder = std::env::temp_dir().join("gatepost-tests").join(&name);
        std::fs::create_dir_all(&folder).expect("a temporary folder can be made");
        let gateway_port = free_port();
        let stop = CancellationToken::new();
        let sandbox_url = start_sandbox(gateway_port, stop.clone(), change).await;
        Self {
            database_url,
            amqp_url: amqp_url.to_owned(),
            prefix: format!("{name}."),
            folder,
            gateway_port,
            sandbox_url,
            settings: Vec::new(),
            stop,
        }
    }

    /// A setting for every process started from now on.
    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike, without a & before each")]
    pub fn set(&mut self, name: &str, value: impl ToString) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_string()));
    }

    /// Lets the guard pass what a test sends to a crowd of people at once.
    pub fn let_crowds_pass(&mut self) {
        self.set(
            "GATEPOST_RULES_FILE",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rules/crowds.toml"),
        );
    }

    /// What the processes find in their environment.
    pub fn environment(&self) -> Vec<(String, String)> {
        let fixed = [
            ("DATABASE_URL", self.database_url.as_str()),
            ("AMQP_URL", self.amqp_url.as_str()),
            ("GATEPOST_QUEUE_PREFIX", self.prefix.as_str()),
            ("GATEPOST_SECRET_KEY", SECRET_KEY),
            ("GATEPOST_META_APP_SECRET", APP_SECRET),
            ("GATEPOST_META_VERIFY_TOKEN", VERIFY_TOKEN),
            ("GATEPOST_WEBHOOK_ALLOW", "127.0.0.0/8"),
            ("GATEPOST_ENV", "development"),
            ("RUST_LOG", "info,gatepost=debug"),
        ];
        let mut environment: Vec<(String, String)> =
            fixed.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        for (name, value) in &self.settings {
            environment.retain(|(known, _)| known != name);
            environment.push((name.clone(), value.clone()));
        }
        environment
    }

    /// Starts a process and waits until it is ready.
    pub async fn start(&self, binary: Binary) -> Process {
        let mut process = self.launch(binary);
        process.wait_until_ready().await;
        process
    }

    /// Starts a process. The first gateway listens where the sandbox calls back.
    pub fn launch(&self, binary: Binary) -> Process {
        self.launch_at(binary, self.gateway_port)
    }

    /// As [`Self::launch`], with another port for the gateway.
    pub fn launch_at(&self, binary: Binary, port: u16) -> Process {
        let mut environment = self.environment();
        environment.push(("GATEPOST_LISTEN".to_owned(), format!("127.0.0.1:{port}")));
        Process::start(binary, &environment, free_port(), &self.folder)
    }

    /// Starts a gateway beside the first; gives its address as well.
    pub async fn start_second_gateway(&self) -> (Process, String) {
        let port = free_port();
        let mut process = self.launch_at(Binary::Gateway, port);
        process.wait_until_ready().await;
        (process, format!("http://127.0.0.1:{port}"))
    }

    /// Starts one of each.
    pub async fn start_all(&self) -> Vec<Process> {
        let mut processes: Vec<Process> = Binary::ALL.into_iter().map(|binary| self.launch(binary)).collect();
        for process in &mut processes {
            process.wait_until_ready().await;
        }
        processes
    }

    /// Where the first gateway is.
    pub fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway_port)
    }

    /// The operator's commands within this process.
    pub async fn admin_inside(&self) -> Admin {
        let environment = self.environment();
        let lookup =
            |name: &str| environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let config = AdminConfig::read(&lookup).expect("the settings of a world are valid");
        super::eventually("the database is at hand", async || Admin::open(config.clone()).await.ok()).await
    }

    /// Runs `gateway admin … --json`; gives its exit code and what it printed to the two streams.
    pub async fn run_admin(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_admin_as_it_is(&[arguments, &["--json"]].concat()).await
    }

    /// Runs `gateway admin …`, which must succeed; gives the text it prints.
    pub async fn admin_text(&self, arguments: &[&str]) -> String {
        let (code, out, err) = self.run_admin_as_it_is(arguments).await;
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    }

    async fn run_admin_as_it_is(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = command(Binary::Gateway, &self.environment());
        command.arg("admin").args(arguments);
        command.env("SANDBOX_TOKEN", "sandbox");
        let output = command.output().await.expect("the binary was built beside this test");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    /// Runs `gateway admin … --json`, which must succeed; gives the object it prints.
    pub async fn admin(&self, arguments: &[&str]) -> Value {
        let (code, out, err) = self.run_admin(arguments).await;
        assert_eq!(code, 0, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?} prints one object: {out}"))
    }

    /// Runs `gateway admin … --json`, which must refuse its arguments; gives what it says of them.
    pub async fn admin_refuses(&self, arguments: &[&str]) -> String {
        self.admin_fails(2, arguments).await
    }

    /// Runs `gateway admin … --json`, which must end with that code and no answer; gives what it says.
    pub async fn admin_fails(&self, expected: i32, arguments: &[&str]) -> String {
        let (code, out, err) = self.run_admin(arguments).await;
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments:?}: {err}");
        let problem: Value = serde_json::from_str(&err).expect("one JSON object on standard error");
        problem["error"].as_str().expect("a text").to_owned()
    }

    /// A customer with a plan that is not in the way and a sender that is fast.
    pub async fn customer(&self) -> Customer {
        self.customer_with("100000/s,burst=1000").await
    }

    /// As [`Self::customer`], with another pacing rate.
    pub async fn customer_with(&self, rate: &str) -> Customer {
        let account = self.admin(&["account", "create", "--name", "Shop", "--plan", "scale"]).await;
        let account = id(&account);
        let limits = ["account", "set-limits", &account, "--daily", "1000000", "--monthly", "1000000"];
        self.admin(&limits).await;
        self.customer_of(account, rate).await
    }

    /// An account that stands already, given an instance and a key.
    pub async fn customer_of(&self, account: String, rate: &str) -> Customer {
        let phone_number_id = format!("1{:014}", rand::random_range(0..100_000_000_000_000_u64));
        self.admin(&[
            "instance",
            "create",
            "--account",
            &account,
            "--id",
            "shop-main",
            "--name",
            "Main line",
            "--provider",
            "sandbox",
            "--base-url",
            &self.sandbox_url,
            "--phone-number-id",
            &phone_number_id,
            "--token-env",
            "SANDBOX_TOKEN",
            "--rate",
            rate,
        ])
        .await;
        let key = self.admin(&["api-key", "create", "--account", &account, "--name", "test"]).await;
        Customer {
            account_id: account.parse().expect("an account's id is a number"),
            account,
            instance: "shop-main".to_owned(),
            phone_number_id,
            key: key["secret"].as_str().expect("the key is shown once").to_owned(),
            key_id: id(&key),
            gateway_url: self.gateway_url(),
            http: super::http().clone(),
        }
    }

    /// A webhook endpoint of the customer's, for all events.
    pub async fn receiver(&self, customer: &Customer) -> Receiver {
        let receiver = Receiver::start().await;
        let made = ["webhook", "create", "--account", &customer.account, "--url", &receiver.url];
        let made = self.admin(&made).await;
        receiver.trust(made["secret"].as_str().expect("the secret is shown once"));
        receiver
    }

    /// A connection of the test's own.
    pub async fn database(&self) -> Client {
        connect(&self.database_url).await
    }

    /// A message's status in the database.
    pub async fn status(&self, message_id: &str) -> String {
        let sql = "select status::text from messages where message_id = $1::text::uuid";
        self.database().await.query_one(sql, &[&message_id]).await.expect("the message exists").get(0)
    }

    /// Waits until the message has one of these statuses.
    pub async fn wait_for_status(&self, message_id: &str, statuses: &[&str]) -> String {
        let database = self.database().await;
        let sql = "select status::text from messages where message_id = $1::text::uuid";
        super::eventually(&format!("{message_id} becomes one of {statuses:?}"), async || {
            let row = database.query_opt(sql, &[&message_id]).await.expect("the database answers")?;
            let status: String = row.get(0);
            statuses.contains(&status.as_str()).then_some(status)
        })
        .await
    }

    /// The calls the sandbox got for a recipient.
    pub async fn calls_to(&self, phone: &str) -> Vec<Value> {
        let calls = self.calls(&format!("to={}", phone.trim_start_matches('+'))).await;
        calls["calls"].as_array().cloned().unwrap_or_default()
    }

    /// What the sandbox remembers of its calls.
    pub async fn calls(&self, query: &str) -> Value {
        let url = format!("{}/sandbox/calls?{query}", self.sandbox_url.trim_end_matches("/v23.0"));
        super::http().get(url).send().await.expect("the sandbox answers").json().await.expect("in JSON")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
        if !std::thread::panicking() {
            // The logs of a failed test stay.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The `id` of what a command made.
pub fn id(made: &Value) -> String {
    match &made["id"] {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        other => panic!("an id, not {other}"),
    }
}

async fn start_sandbox(
    gateway_port: u16,
    stop: CancellationToken,
    change: impl FnOnce(sandbox::Settings) -> sandbox::Settings,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let url = format!("http://{}/v23.0", listener.local_addr().expect("it listens"));
    let settings = change(sandbox::Settings {
        callback_url: Some(format!("http://127.0.0.1:{gateway_port}/callbacks/meta")),
        app_secret: APP_SECRET.to_owned(),
        callback_delay: Duration::from_millis(20),
        ..sandbox::Settings::default()
    });
    tokio::spawn(async move { sandbox::run(listener, settings, stop).await.expect("the sandbox runs") });
    url
}

/// Connects; the connection ends with the client.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the database answers");
    tokio::spawn(connection);
    client
}

/// The same server's address with another database.
pub fn with_database(server_url: &str, name: &str) -> String {
    let (server, _) = server_url.rsplit_once('/').expect("an address with a database");
    format!("{server}/{name}")
}

/// An empty database on that server.
pub async fn empty_database(server_url: &str) -> String {
    let name = format!("e{:016x}", rand::random::<u64>());
    connect(server_url)
        .await
        .batch_execute(&format!("create database {name}"))
        .await
        .expect("it can be made");
    with_database(server_url, &name)
}

/// A migrated database: a copy of one that was migrated once, on the shared server; migrated itself on others.
async fn create_database(server_url: &str, name: &str) -> String {
    let server = connect(server_url).await;
    let template = TEMPLATE
        .get_or_init(|| async {
            let template = empty_database(server_url).await;
            migrations::migrate(&Hidden(template.clone())).await.expect("the schema can be made");
            template
        })
        .await;
    let url = with_database(server_url, name);
    if template.rsplit_once('/').map(|(server, _)| server) == url.rsplit_once('/').map(|(server, _)| server) {
        let template = template.rsplit('/').next().unwrap_or_default();
        // Copies of one template wait for each other for a moment.
        super::eventually("the template can be copied", async || {
            server.batch_execute(&format!("create database {name} template {template}")).await.ok()
        })
        .await;
    } else {
        server.batch_execute(&format!("create database {name}")).await.expect("it can be made");
        migrations::migrate(&Hidden(url.clone())).await.expect("the schema can be made");
    }
    url
}
