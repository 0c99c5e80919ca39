//! Erlang's port mapper, as one node of a cluster sees it: it names the ports at which the other nodes are reached.
//!
//! With the real one, nodes tell each other their own ports. This one names whatever port a test wants, such as that of
//! a [`Proxy`](super::proxy::Proxy), so that the network between any two nodes can be broken.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::services::free_port;

/// Requests and answers of the protocol ("EPMD Protocol" in Erlang's documentation).
const REGISTER: u8 = 120;
const REGISTERED: u8 = 118;
const WHERE_IS: u8 = 122;
const THERE_IS: u8 = 119;
const NAMES: u8 = 110;
/// The versions of the distribution protocol that a node offers: the only one that today's Erlang speaks.
const VERSIONS: [u8; 4] = [0, 6, 0, 5];

/// A port mapper on a port of its own; it ends when it is dropped.
pub struct Epmd {
    port: u16,
    task: JoinHandle<()>,
}

impl Epmd {
    /// Serves these nodes' ports, by name.
    pub async fn start(ports: BTreeMap<String, u16>) -> Self {
        let port = free_port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let task = tokio::spawn(serve(listener, Arc::new(ports)));
        Self { port, task }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Epmd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, ports: Arc<BTreeMap<String, u16>>) {
    while let Ok((client, _)) = listener.accept().await {
        let ports = Arc::clone(&ports);
        // A client that breaks off is none of our business.
        tokio::spawn(async move { drop(answer(client, &ports).await) });
    }
}

async fn answer(mut client: TcpStream, ports: &BTreeMap<String, u16>) -> io::Result<()> {
    static CREATION: AtomicU32 = AtomicU32::new(4);
    let mut request = vec![0; usize::from(client.read_u16().await?)];
    client.read_exact(&mut request).await?;
    match request.split_first() {
        Some((&REGISTER, _)) => {
            let creation = CREATION.fetch_add(1, Ordering::Relaxed);
            client.write_all(&[&[REGISTERED, 0][..], &creation.to_be_bytes()].concat()).await?;
            // The node is registered for as long as it keeps this connection.
            client.read_u8().await.map(drop)
        }
        Some((&WHERE_IS, name)) => {
            let Some(port) = std::str::from_utf8(name).ok().and_then(|name| ports.get(name)) else {
                return client.write_all(&[THERE_IS, 1]).await;
            };
            let length = u16::try_from(name.len()).expect("a name is short").to_be_bytes();
            let (port, node, tcp, nothing) = (port.to_be_bytes(), [b'M'], [0], [0, 0]);
            let found = [&[THERE_IS, 0], &port[..], &node, &tcp, &VERSIONS, &length, name, &nothing].concat();
            client.write_all(&found).await
        }
        // A node that starts looks for a namesake, of which there is none, at this very port.
        Some((&NAMES, _)) => client.write_all(&u32::from(client.local_addr()?.port()).to_be_bytes()).await,
        _ => Ok(()),
    }
}
