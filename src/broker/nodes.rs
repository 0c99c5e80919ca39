//! The broker's addresses, and the way from one to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lapin::uri::AMQPUri;

use super::connection::BrokerError;
use crate::config::Hidden;

/// Seconds between heartbeats. A connection on which nothing came for two of them is given up, so a node that froze or
/// was cut off is noticed within five seconds; one second would take a process that is merely busy for dead.
const HEARTBEAT: u16 = 2;

/// The largest frame, in bytes. A connection keeps room for 64 of them; a job of ours fits into one, and longer ones come in
/// several. RabbitMQ's own 128 KiB would be 8 MiB for each connection.
const LARGEST_FRAME: u32 = 16 * 1024;

/// The nodes of a RabbitMQ cluster, or the one there is. Cloning shares where the next connection begins.
#[derive(Clone)]
pub struct Nodes {
    addresses: Arc<[AMQPUri]>,
    next: Arc<AtomicUsize>,
}

/// One connection's way through the nodes.
pub(super) struct Route {
    addresses: Arc<[AMQPUri]>,
    at: usize,
    /// Which nodes took a connection and said nothing, the last time they were tried.
    silent: Vec<bool>,
}

impl Nodes {
    /// Reads `AMQP_URL`: one address or several with commas between, without connecting. The first connection begins
    /// at any of them and each further one at the one after, so that neither the processes nor one process's
    /// connections all meet at one node.
    ///
    /// # Errors
    /// [`BrokerError::Url`] or [`BrokerError::UrlOf`]. They do not quote the addresses, which hold passwords.
    pub fn parse(setting: &Hidden) -> Result<Self, BrokerError> {
        let parts: Vec<&str> = setting.0.split(',').map(str::trim).collect();
        let addresses = parts.iter().enumerate().map(|(index, part)| {
            let mut address: AMQPUri = part.parse().map_err(|_| match parts.len() {
                1 => BrokerError::Url,
                count => BrokerError::UrlOf { number: index + 1, count },
            })?;
            address.query.heartbeat.get_or_insert(HEARTBEAT);
            address.query.frame_max.get_or_insert(LARGEST_FRAME);
            Ok(address)
        });
        let addresses = addresses.collect::<Result<Arc<[_]>, BrokerError>>()?;
        let next = AtomicUsize::new(rand::random_range(0..addresses.len()));
        Ok(Self { addresses, next: Arc::new(next) })
    }

    /// The way of a new connection.
    pub(super) fn route(&self) -> Route {
        let count = self.addresses.len();
        let at = self.next.fetch_add(1, Ordering::Relaxed) % count;
        Route { addresses: Arc::clone(&self.addresses), at, silent: vec![false; count] }
    }
}

impl Route {
    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.addresses.len()
    }

    /// The node whose turn it is.
    pub(super) fn address(&self) -> &AMQPUri {
        &self.addresses[self.at]
    }

    /// Its host and port, for logs.
    pub(super) fn name(&self) -> String {
        let authority = &self.address().authority;
        format!("{}:{}", authority.host, authority.port)
    }

    /// Turns to another node, where there is one.
    pub(super) fn advance(&mut self) {
        self.at = (self.at + 1) % self.len();
    }

    /// Whether this node said nothing the last time.
    pub(super) fn is_silent(&self) -> bool {
        self.silent[self.at]
    }

    /// Remembers whether this node said something.
    pub(super) fn set_silent(&mut self, silent: bool) {
        self.silent[self.at] = silent;
    }
}

#[cfg(test)]
mod tests {
    use super::{Hidden, Nodes};

    fn parse(setting: &str) -> Result<Nodes, String> {
        Nodes::parse(&Hidden(setting.to_owned())).map_err(|error| error.to_string())
    }

    #[test]
    fn one_address_or_several_are_read() {
        for (setting, names) in [
            ("amqp://h", vec!["h:5672"]),
            ("amqp://u:p@a:1/%2f,amqps://u:p@b/%2f", vec!["a:1", "b:5671"]),
            (" amqp://a , amqp://b:2 ,amqp://c ", vec!["a:5672", "b:2", "c:5672"]),
            ("amqp://u:a%2Cb@h", vec!["h:5672"]),
        ] {
            let mut route = parse(setting).unwrap().route();
            route.at = 0;
            let read = names.iter().map(|_| {
                let name = route.name();
                route.advance();
                name
            });
            assert_eq!(read.collect::<Vec<_>>(), names, "{setting}");
            assert_eq!(route.at, 0, "{setting}");
        }
    }

    #[test]
    fn a_bad_address_is_named_and_not_quoted() {
        for (setting, which) in [
            ("hunter2", "expected amqp://"),
            ("", "expected amqp://"),
            ("amqp://u:hunter2@a,http://u:hunter2@b", "address 2 of 2"),
            ("amqp://u:hunter2@a,,amqp://u:hunter2@c", "address 2 of 3"),
            ("amqp://u:hunter2@a,amqp://u:hunter2@b,", "address 3 of 3"),
            ("amqp://u:hunter2@a:port,amqp://b", "address 1 of 2"),
            ("amqp://u:hunter,2@a", "address 1 of 2"),
        ] {
            let error = parse(setting).err().unwrap_or_else(|| panic!("{setting} is read"));
            assert!(error.starts_with("AMQP_URL") && error.contains(which), "{setting}: {error}");
            assert!(!error.contains("hunter"), "{setting}: {error}");
        }
    }

    #[test]
    fn connections_begin_everywhere_and_come_to_every_node() {
        let mut processes_beginning_at = [0; 3];
        for _ in 0..300 {
            let nodes = parse("amqp://a,amqp://b,amqp://c").unwrap();
            let (mut first, second) = (nodes.route(), nodes.route());
            processes_beginning_at[first.at] += 1;
            assert_ne!(first.at, second.at, "connections of one process");
            let mut visited = [false; 3];
            for _ in 0..3 {
                visited[first.at] = true;
                first.advance();
            }
            assert_eq!(visited, [true; 3]);
        }
        assert!(processes_beginning_at.iter().all(|count| *count > 30), "{processes_beginning_at:?}");
    }

    #[test]
    fn an_address_may_set_its_own_heartbeat() {
        let heartbeat = |setting| parse(setting).unwrap().route().address().query.heartbeat;
        assert_eq!(heartbeat("amqp://h"), Some(super::HEARTBEAT));
        assert_eq!(heartbeat("amqp://h?heartbeat=30"), Some(30));
    }
}
