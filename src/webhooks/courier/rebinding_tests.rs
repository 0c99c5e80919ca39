//! Names whose addresses change: what was judged is what is connected to.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::tests::{claim, config};
use super::{Courier, Failure};
use crate::runtime::clock::Clock;
use crate::runtime::secrets::new_webhook_secret;

/// The one address webhooks may reach here …
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
/// … and one beside it that stands for a server within the operator's network.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// A name server of the customer's: its answers in turn, the last one for ever.
#[derive(Clone, Default)]
struct Rebinding {
    answers: Arc<Mutex<Vec<Vec<Ipv4Addr>>>>,
    asked: Arc<Mutex<usize>>,
}

impl Resolve for Rebinding {
    fn resolve(&self, _name: Name) -> Resolving {
        let mut asked = self.asked.lock().unwrap();
        let answers = self.answers.lock().unwrap();
        let found = answers[(*asked).min(answers.len() - 1)].clone();
        *asked += 1;
        let found = found.into_iter().map(|address| SocketAddr::from((address, 0)));
        Box::pin(async move { Ok(Box::new(found) as Addrs) })
    }
}

/// Answers every request on this address, and closes; says that it was connected to.
fn serve(listener: TcpListener, address: Ipv4Addr, connected: mpsc::UnboundedSender<Ipv4Addr>) {
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            connected.send(address).unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(b"}") && stream.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {}
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        }
    });
}

/// Sends a webhook for each of the answers; gives how each went, who was connected to, and how often it was asked.
async fn send(answers: &[&[Ipv4Addr]], webhooks: usize) -> (Vec<Option<Failure>>, Vec<Ipv4Addr>, usize) {
    let (sender, mut connected) = mpsc::unbounded_channel();
    // The same port at both addresses; a taken one is passed over.
    let (port, allowed, private) = loop {
        let allowed = TcpListener::bind((ALLOWED, 0)).await.unwrap();
        let port = allowed.local_addr().unwrap().port();
        if let Ok(private) = TcpListener::bind((PRIVATE, port)).await {
            break (port, allowed, private);
        }
    };
    serve(allowed, ALLOWED, sender.clone());
    serve(private, PRIVATE, sender);
    let config = config("development", "127.0.0.1/32", "5000");
    let resolver = Rebinding::default();
    *resolver.answers.lock().unwrap() = answers.iter().map(|answer| answer.to_vec()).collect();
    drop(rustls::crypto::ring::default_provider().install_default());
    let courier = Courier::with_resolver(&config, Clock::system(), 4, resolver.clone()).unwrap();
    let url = format!("http://rebinding.example:{port}/hook");
    let mut failures = Vec::new();
    for _ in 0..webhooks {
        failures.push(courier.send(&claim(&config, &url, &new_webhook_secret())).await.failure);
    }
    let mut reached = Vec::new();
    while let Ok(address) = connected.try_recv() {
        reached.push(address);
    }
    let asked = *resolver.asked.lock().unwrap();
    (failures, reached, asked)
}

#[tokio::test]
async fn a_name_that_changes_its_mind_after_the_check_changes_nothing() {
    let (failures, reached, asked) = send(&[&[ALLOWED], &[PRIVATE]], 1).await;
    assert_eq!(
        (failures, reached, asked),
        (vec![None], vec![ALLOWED], 1),
        "asked once, connected to the answer"
    );
}

#[tokio::test]
async fn every_connection_is_judged_by_its_own_answer() {
    let (failures, reached, asked) = send(&[&[ALLOWED], &[PRIVATE], &[ALLOWED]], 3).await;
    assert_eq!(failures, [None, Some(Failure::Address), None]);
    assert_eq!((reached, asked), (vec![ALLOWED, ALLOWED], 3));
}

#[tokio::test]
async fn of_several_addresses_only_those_that_may_be_reached_are() {
    for answer in [&[PRIVATE, ALLOWED][..], &[ALLOWED, PRIVATE]] {
        assert_eq!(send(&[answer], 1).await, (vec![None], vec![ALLOWED], 1));
    }
    assert_eq!(send(&[&[PRIVATE, PRIVATE]], 1).await, (vec![Some(Failure::Address)], vec![], 1));
}
