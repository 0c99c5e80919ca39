//! A network that can be broken: a TCP proxy in front of a server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::services::free_port;
use super::world::World;

/// How what is sent gets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    Passing,
    Stalled,
    /// Each piece of up to 16 KiB comes so much later.
    Slow(Duration),
    /// What the target says is nonsense.
    Garbled,
    /// The connection ends in the middle of what the target says.
    Broken,
}

/// Which way a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

/// Passes connections on to a target until it is told not to. Dropping it cuts it.
pub struct Proxy {
    address: SocketAddr,
    target: SocketAddr,
    flow: watch::Sender<Flow>,
    /// Counts the times that all connections were reset.
    resets: watch::Sender<u64>,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Proxy {
    /// A working proxy on a free port.
    pub async fn start(target: SocketAddr) -> Self {
        Self::start_at(free_port(), target).await
    }

    /// A working proxy on that port.
    pub async fn start_at(port: u16, target: SocketAddr) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (flow, resets) = (watch::Sender::new(Flow::Passing), watch::Sender::new(0));
        let mut proxy = Self { address, target, flow, resets, serving: None };
        proxy.heal().await;
        proxy
    }

    /// A proxy between the world's database and the processes started from now on; the test's own connections go past it.
    pub async fn to_database(world: &mut World) -> Self {
        let (before, server) = world.database_url.rsplit_once('@').expect("an address with a user");
        let (server, name) = server.split_once('/').expect("an address with a database");
        let target = tokio::net::lookup_host(server).await.expect("the server has an address").next();
        let proxy = Self::start(target.expect("the server has an address")).await;
        let url = format!("{before}@{}/{name}", proxy.address());
        world.set("DATABASE_URL", url);
        proxy
    }

    /// Where it listens; the same for its whole life.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops all connections and refuses new ones.
    pub async fn cut(&mut self) {
        if let Some((stop, task)) = self.serving.take() {
            stop.cancel();
            task.await.expect("the proxy does not panic");
        }
    }

    /// Accepts connections, but passes nothing on, in either direction; what is under way is kept until it heals.
    pub fn stall(&mut self) {
        self.flow.send_replace(Flow::Stalled);
    }

    /// Passes everything on, but so much later.
    pub fn slow(&mut self, delay: Duration) {
        self.flow.send_replace(Flow::Slow(delay));
    }

    /// Passes requests on, and nonsense of the answers' length back.
    pub fn garble(&mut self) {
        self.flow.send_replace(Flow::Garbled);
    }

    /// Passes requests on, and of the answer the first half; then the connection ends.
    pub fn break_answers(&mut self) {
        self.flow.send_replace(Flow::Broken);
    }

    /// Ends the connections that there are with a reset, and goes on.
    pub fn reset(&mut self) {
        self.resets.send_modify(|count| *count += 1);
    }

    /// Works again, after a cut, a stall, slowness or spoilt answers.
    pub async fn heal(&mut self) {
        self.flow.send_replace(Flow::Passing);
        if self.serving.is_none() {
            let listener = TcpListener::bind(self.address).await.expect("the port is still free");
            let stop = CancellationToken::new();
            let trouble = (self.flow.subscribe(), self.resets.subscribe());
            let task = tokio::spawn(serve(listener, self.target, trouble, stop.clone()));
            self.serving = Some((stop, task));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some((stop, _)) = &self.serving {
            stop.cancel();
        }
    }
}

type Trouble = (watch::Receiver<Flow>, watch::Receiver<u64>);

async fn serve(listener: TcpListener, target: SocketAddr, trouble: Trouble, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Ok((client, _)) = listener.accept() => {
                connections.spawn(connect(client, target, trouble.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Serves one connection until it ends or is reset.
async fn connect(
    mut client: TcpStream,
    target: SocketAddr,
    (mut flow, mut resets): Trouble,
) -> io::Result<()> {
    resets.mark_unchanged();
    released(&mut flow).await;
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    tokio::select! {
        ended = relay(&mut client, &mut server, flow) => return ended,
        _ = resets.changed() => {}
    }
    // Closed with nothing lingering, a socket sends a reset.
    client.set_zero_linger()?;
    server.set_zero_linger()
}

/// Ends with the first error in either direction; both ends then see their connection closed.
async fn relay(
    client: &mut TcpStream,
    server: &mut TcpStream,
    flow: watch::Receiver<Flow>,
) -> io::Result<()> {
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::try_join!(
        pump(client_reads, server_writes, flow.clone(), Way::There),
        pump(server_reads, client_writes, flow.clone(), Way::Back),
    )?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut flow: watch::Receiver<Flow>,
    way: Way,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        let now = *flow.borrow();
        if let Flow::Slow(delay) = now {
            tokio::time::sleep(delay).await;
        }
        released(&mut flow).await;
        if count == 0 {
            return to.shutdown().await;
        }
        match (way, now) {
            (Way::Back, Flow::Garbled) => buffer[..count].fill(0xA5),
            (Way::Back, Flow::Broken) => {
                to.write_all(&buffer[..count / 2]).await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            _ => {}
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// Waits for the end of a stall. An error means that the proxy is gone, and this task will be soon.
async fn released(flow: &mut watch::Receiver<Flow>) {
    let _ = flow.wait_for(|flow| *flow != Flow::Stalled).await;
}
