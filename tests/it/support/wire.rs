//! HTTP by hand, for what no client library would send.

use std::io;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::world::Answer;

/// Long enough for every answer, far below a hang.
const LONGEST: Duration = Duration::from_secs(20);

/// A connection to a gateway.
pub struct Wire {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    read: Vec<u8>,
}

impl Wire {
    /// Connects to the server of that address.
    pub async fn connect(url: &str) -> Self {
        let address = url.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.expect("the gateway listens");
        let (reader, writer) = stream.into_split();
        Self { reader, writer, read: Vec::new() }
    }

    /// Writes; an error where the server has closed the connection.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await
    }

    /// Says that nothing more will be written.
    pub async fn finish(&mut self) {
        self.writer.shutdown().await.expect("the connection is open");
    }

    /// Reads one answer; `None` where the connection ends without one. Panics where neither comes.
    pub async fn answer(&mut self) -> Option<Answer> {
        tokio::time::timeout(LONGEST, self.read_answer()).await.expect("an answer, or the end")
    }

    /// Writes what the server takes while reading what it answers, as most clients do.
    pub async fn exchange(mut self, bytes: &[u8]) -> Option<Answer> {
        let Self { writer, reader, read } = &mut self;
        let answer = async {
            let answer = tokio::time::timeout(LONGEST, read_answer(reader, read)).await;
            answer.expect("an answer, or the end")
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => return answer,
            // An error says that the server reads no more; its answer may be there nevertheless.
            _ = writer.write_all(bytes) => {}
        }
        answer.await
    }

    /// Waits until the server has closed the connection; panics where it stays open.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LONGEST, self.reader.read_to_end(&mut rest)).await;
        // A reset is an end as well.
        drop(ended.expect("the server closes the connection"));
        assert!(rest.is_empty(), "nothing follows the answer: {}", String::from_utf8_lossy(&rest));
    }

    async fn read_answer(&mut self) -> Option<Answer> {
        read_answer(&mut self.reader, &mut self.read).await
    }
}

async fn read_answer(reader: &mut OwnedReadHalf, read: &mut Vec<u8>) -> Option<Answer> {
    loop {
        if let Some((answer, length)) = parse(read) {
            read.drain(..length);
            return Some(answer);
        }
        if reader.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// The answer at the beginning of what was read, with its length, once it is whole.
fn parse(read: &[u8]) -> Option<(Answer, usize)> {
    let head_end = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&read[..head_end]).expect("a head in ASCII");
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let name: HeaderName = name.parse().expect("a header's name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a header's value"));
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().expect("a length");
    let body = read.get(head_end..head_end + length)?;
    let text = String::from_utf8(body.to_vec()).expect("a body in UTF-8");
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Some((Answer { status, headers, text, body }, head_end + length))
}
