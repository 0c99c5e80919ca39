//! A network that can be broken: a TCP proxy in front of a server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::services::free_port;
use super::world::World;

/// Passes connections on to a target until it is told not to. Dropping it cuts it.
pub struct Proxy {
    address: SocketAddr,
    target: SocketAddr,
    stalled: watch::Sender<bool>,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Proxy {
    /// A working proxy on a free port.
    pub async fn start(target: SocketAddr) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut proxy = Self { address, target, stalled: watch::Sender::new(false), serving: None };
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
        self.stalled.send_replace(true);
    }

    /// Works again, after a cut or a stall.
    pub async fn heal(&mut self) {
        self.stalled.send_replace(false);
        if self.serving.is_none() {
            let listener = TcpListener::bind(self.address).await.expect("the port is still free");
            let stop = CancellationToken::new();
            let task = tokio::spawn(serve(listener, self.target, self.stalled.subscribe(), stop.clone()));
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

async fn serve(
    listener: TcpListener,
    target: SocketAddr,
    stalled: watch::Receiver<bool>,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Ok((client, _)) = listener.accept() => {
                connections.spawn(relay(client, target, stalled.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Ends with the first error in either direction; both ends then see their connection closed.
async fn relay(
    mut client: TcpStream,
    target: SocketAddr,
    mut stalled: watch::Receiver<bool>,
) -> io::Result<()> {
    released(&mut stalled).await;
    let mut server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    tokio::try_join!(
        pump(client_reads, server_writes, stalled.clone()),
        pump(server_reads, client_writes, stalled.clone()),
    )?;
    Ok(())
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut stalled: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        released(&mut stalled).await;
        if count == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// Waits for the end of a stall. An error means that the proxy is gone, and this task will be soon.
async fn released(stalled: &mut watch::Receiver<bool>) {
    let _ = stalled.wait_for(|stalled| !stalled).await;
}
