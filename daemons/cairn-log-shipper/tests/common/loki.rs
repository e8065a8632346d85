//! The store: answers as it is told to, and writes down what it has acknowledged.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cairn_wire::push::{JsonForm, PushLimits, decode};
use cairn_wire::push_labels::parse_label_text;

/// What the store answers.
#[derive(Clone, Debug)]
pub enum Mood {
    /// Takes everything.
    Takes,
    /// Takes this many requests more, then answers 503.
    TakesOnly(usize),
    /// Answers with this status and text, and stores nothing.
    Answers(u16, &'static str),
    /// Takes requests of up to so many lines, 413 else.
    TakesUpTo(usize),
    /// Stores, and then answers 500: the acknowledgement is lost.
    StoresAndFails,
    /// Answers nothing at all until the mood changes.
    Hangs,
}

#[derive(Default)]
struct Store {
    /// By label text: time and line.
    streams: BTreeMap<String, Vec<(i64, String)>>,
    n_requests: usize,
    headers: VecDeque<HeaderMap>,
}

/// A store on loopback.
pub struct FakeLoki {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    store: Arc<Mutex<Store>>,
    _runtime: tokio::runtime::Runtime,
}

type Shared = (Arc<Mutex<Mood>>, Arc<Mutex<Store>>);

impl FakeLoki {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mood = Arc::new(Mutex::new(Mood::Takes));
        let store = Arc::new(Mutex::new(Store::default()));
        let router = Router::new()
            .route("/loki/api/v1/push", post(push))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state((Arc::clone(&mood), Arc::clone(&store)));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { address, mood, store, _runtime: runtime }
    }

    pub fn url(&self) -> String {
        format!("http://{}/loki/api/v1/push", self.address)
    }

    pub fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn n_requests(&self) -> usize {
        self.store.lock().unwrap().n_requests
    }

    pub fn last_headers(&self) -> HeaderMap {
        self.store.lock().unwrap().headers.back().cloned().unwrap_or_default()
    }

    /// Label texts of all streams.
    pub fn streams(&self) -> Vec<String> {
        self.store.lock().unwrap().streams.keys().cloned().collect()
    }

    /// Lines of the streams with this `filename`, in order of time.
    pub fn lines(&self, filename: &str) -> Vec<String> {
        self.entries(filename).into_iter().map(|(_, line)| line).collect()
    }

    /// Times and lines of the streams with this `filename`, in order of time.
    pub fn entries(&self, filename: &str) -> Vec<(i64, String)> {
        self.entries_with("filename", filename)
    }

    /// Times and lines of the streams in which this label has this value, in order of time.
    pub fn entries_with(&self, name: &str, value: &str) -> Vec<(i64, String)> {
        let store = self.store.lock().unwrap();
        let mut entries: Vec<(i64, String)> = store
            .streams
            .iter()
            .filter(|(labels, _)| parse_label_text(labels).unwrap().to_labels().value(name) == value)
            .flat_map(|(_, entries)| entries.clone())
            .collect();
        entries.sort_by_key(|(time, _)| *time);
        entries
    }
}

async fn push(State((mood, store)): State<Shared>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let streams = decode(
        header("content-type").as_deref(),
        header("content-encoding").as_deref(),
        body,
        JsonForm::V1,
        &PushLimits::default(),
    )
    .unwrap();
    let n_lines: usize = streams.iter().map(|stream| stream.entries.len()).sum();
    {
        let mut store = store.lock().unwrap();
        store.n_requests += 1;
        store.headers.push_back(headers);
        if store.headers.len() > 8 {
            store.headers.pop_front();
        }
    }
    let (takes, answer) = loop {
        let decided = mood.lock().unwrap().for_request();
        if let Some(decided) = decided {
            break decided.answer(n_lines);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    if takes {
        let mut store = store.lock().unwrap();
        for stream in streams {
            let entries = store.streams.entry(stream.labels).or_default();
            entries.extend(
                stream
                    .entries
                    .iter()
                    .map(|entry| (entry.time.0, String::from_utf8(entry.line.to_vec()).unwrap())),
            );
        }
    }
    answer
}

/// What one request gets.
struct Decided {
    mood: Mood,
}

impl Mood {
    /// The mood for one request; `None` while the store hangs.
    fn for_request(&mut self) -> Option<Decided> {
        match self {
            Self::Hangs => None,
            Self::TakesOnly(0) => Some(Decided { mood: Self::Answers(503, "full") }),
            Self::TakesOnly(n) => {
                *n -= 1;
                Some(Decided { mood: Self::Takes })
            }
            other => Some(Decided { mood: other.clone() }),
        }
    }
}

impl Decided {
    fn answer(self, n_lines: usize) -> (bool, (StatusCode, String)) {
        let status = |code: u16, text: &str| (StatusCode::from_u16(code).unwrap(), text.to_owned());
        match self.mood {
            Mood::TakesUpTo(limit) if n_lines > limit => (false, status(413, "too large")),
            Mood::Answers(code, text) => (false, status(code, text)),
            Mood::StoresAndFails => (true, status(500, "oops")),
            _ => (true, status(204, "")),
        }
    }
}
