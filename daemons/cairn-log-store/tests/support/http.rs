//! One HTTP/1.1 request over one connection, blocking. Enough for tests; bodies are read whole.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value; empty when it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, v)| v)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends one request. Headers are sent as given, with Host, Content-Length and Connection added.
pub fn ask(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.set_nodelay(true)?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if body.is_some() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.map_or(0, <[u8]>::len)));
    }
    head.push_str("\r\n");
    let mut request = head.into_bytes();
    request.extend_from_slice(body.unwrap_or_default());
    stream.write_all(&request)?;
    read_answer(&mut BufReader::new(stream))
}

/// Posts the head of a request, waits until the server asks for the body, and leaves it there.
pub fn begin(address: SocketAddr, target: &str, body_bytes: usize) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\nContent-Length: {body_bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = [0; 25];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer[..], b"HTTP/1.1 100 Continue\r\n\r\n");
    Ok(stream)
}

/// Posts the head of a request whose body would be this long, and reads the answer without sending the body.
pub fn announce(address: SocketAddr, target: &str, body_bytes: usize) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    write!(
        stream,
        "POST {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {body_bytes}\r\n\r\n"
    )?;
    read_answer(&mut BufReader::new(stream))
}

/// Asks with GET and reads the answer.
pub fn get(address: SocketAddr, target: &str) -> Answer {
    ask(address, "GET", target, &[], None).unwrap()
}

/// Posts a body of this type.
pub fn post(address: SocketAddr, target: &str, content_type: &str, body: &[u8]) -> Answer {
    ask(address, "POST", target, &[("Content-Type".into(), content_type.into())], Some(body)).unwrap()
}

fn read_answer(reader: &mut impl BufRead) -> std::io::Result<Answer> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status =
        line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(std::io::ErrorKind::InvalidData)?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut answer = Answer { status, headers, body: Vec::new() };
    if answer.header("Transfer-Encoding") == "chunked" {
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| std::io::ErrorKind::InvalidData)?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk)?;
            chunk.truncate(size);
            answer.body.append(&mut chunk);
            if size == 0 {
                break;
            }
        }
    } else {
        reader.read_to_end(&mut answer.body)?;
    }
    if answer.header("Content-Encoding") == "gzip" {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(answer.body.as_slice()).read_to_end(&mut plain)?;
        answer.body = plain;
    }
    Ok(answer)
}
