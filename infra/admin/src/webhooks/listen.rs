//! `webhooks listen`: a receiver for trying things out.
//!
//! Deliveries go to the standard output and everything else to standard error, so that `--json` can be read by programs.

use std::{
    collections::HashSet,
    io::{self, Write},
    net::Ipv4Addr,
    num::NonZeroU64,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, StatusCode, Uri},
    routing::post,
};
use clap::Args;
use secrecy::SecretString;
use spelter::{
    clock,
    error::{BoxError, chain},
    webhooks::signing::EVENT,
};
use standardwebhooks::HEADER_WEBHOOK_ID;
use tokio::{
    net::TcpListener,
    sync::{Mutex, watch},
    time::sleep,
};

use super::{
    check::Secret,
    endpoint::{Caller, Endpoint, Keyring, Registration},
    show::{Delivery, line},
};

/// Far more than any webhook has.
const BODY_LIMIT: usize = 16 * 1024 * 1024;
/// How long answers may still be on their way at the end.
const GRACE: Duration = Duration::from_secs(2);

/// How to receive.
#[derive(Args)]
pub(crate) struct Listen {
    /// Port to listen at on 127.0.0.1; 0 takes any free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// The secret to check with, `zn_whsec_…`; without it, the one of the client's endpoint.
    #[arg(long, env = "SPELTER_WEBHOOK_SECRET", hide_env_values = true)]
    secret: Option<SecretString>,
    /// Make this the client's endpoint. It stays so when this ends.
    #[arg(long)]
    register: bool,
    /// The status of all answers: 503, and deliveries are tried again.
    #[arg(
        long,
        value_name = "STATUS",
        default_value_t = 200,
        value_parser = clap::value_parser!(u16).range(200..600)
    )]
    answer: u16,
    /// Print each delivery as a JSON object in one line.
    #[arg(long)]
    json: bool,
    /// End after so many deliveries; fails unless all their signatures are valid.
    #[arg(long, value_name = "NUMBER")]
    count: Option<NonZeroU64>,
    #[command(flatten)]
    caller: Caller,
}

/// What all deliveries share. They are handled one after the other, so that what is printed of them does not mix.
struct Session {
    json: bool,
    answer: StatusCode,
    wanted: Option<u64>,
    keyring: Keyring,
    seen: HashSet<String>,
    arrived: u64,
    /// How many had a signature that was not valid.
    doubtful: u64,
    /// Why nothing more can be printed.
    broken: Option<io::Error>,
    ended: watch::Sender<bool>,
}

/// Receives until there were enough, or until Ctrl-C.
pub(crate) async fn run(listen: Listen) -> Result<(), BoxError> {
    let Listen { port, secret, register, answer, json, count, caller } = listen;
    let given = secret.map(Secret::parse).transpose()?;
    let endpoint = Endpoint::of(&caller)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .map_err(|error| format!("cannot listen at 127.0.0.1:{port}: {error}"))?;
    let url = format!("http://{}/", listener.local_addr()?);
    greet(&url);
    if register {
        self::register(endpoint.as_ref(), &url).await?;
    }
    let (ended, end) = watch::channel(false);
    let session = Session {
        json,
        answer: StatusCode::from_u16(answer)?,
        wanted: count.map(NonZeroU64::get),
        keyring: keyring(given, endpoint).await,
        seen: HashSet::new(),
        arrived: 0,
        doubtful: 0,
        broken: None,
        ended,
    };
    serve(listener, session, end).await
}

async fn serve(
    listener: TcpListener,
    session: Session,
    end: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    end_at_ctrl_c(session.ended.clone());
    let session = Arc::new(Mutex::new(session));
    let app = Router::new()
        .fallback(post(receive))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(Arc::clone(&session));
    let server = axum::serve(listener, app).with_graceful_shutdown(ended_of(end.clone()));
    let last_answers = async {
        ended_of(end).await;
        sleep(GRACE).await;
    };
    tokio::select! {
        result = server.into_future() => result?,
        // Somebody does not finish what they say.
        () = last_answers => {}
    }
    session.lock().await.outcome()
}

fn greet(url: &str) {
    note(&format!("Listening at {url} until Ctrl-C. Any path will do. In an order:"));
    note(&format!(r#"  "webhooks": {{"request_succeeded": "{url}", "request_failed": "{url}"}}"#));
}

/// For people, beside the deliveries.
fn note(text: &str) {
    eprintln!("{}", line(text));
}

async fn register(endpoint: Option<&Endpoint>, url: &str) -> Result<(), BoxError> {
    let endpoint = endpoint
        .ok_or("registering needs an API and a token: start the local stack, or name them")?;
    let before = endpoint.get().await?.url;
    endpoint.put(url).await?;
    let before = before.map_or_else(String::new, |before| format!(" It was {before}."));
    note(&format!("{url} is the client's endpoint now, and stays so.{before}"));
    Ok(())
}

/// The secret that was given; else the endpoint's, now or once there is one.
async fn keyring(given: Option<Secret>, endpoint: Option<Endpoint>) -> Keyring {
    if let Some(secret) = given {
        return Keyring::Given(secret);
    }
    let Some(endpoint) = endpoint else {
        note("No secret and no local stack: signatures are not checked. --secret gives one.");
        return Keyring::Empty;
    };
    let asked = endpoint.get().await.and_then(Registration::secret);
    match &asked {
        Ok(Some(_)) => {}
        Ok(None) => note("The endpoint has no secret yet. Each delivery asks for it again."),
        Err(error) => note_unknown(error),
    }
    Keyring::Endpoint(endpoint, asked.ok().flatten())
}

fn note_unknown(error: &BoxError) {
    note(&format!("The endpoint's secret cannot be read: {}", chain(&**error)));
}

fn end_at_ctrl_c(ended: watch::Sender<bool>) {
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            ended.send_replace(true);
        }
    });
}

async fn ended_of(mut end: watch::Receiver<bool>) {
    // Without a sender nothing goes on either.
    let _ = end.wait_for(|ended| *ended).await;
}

async fn receive(
    State(session): State<Arc<Mutex<Session>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    session.lock().await.receive(&uri, &headers, &body).await
}

impl Session {
    async fn receive(&mut self, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> StatusCode {
        if *self.ended.borrow() {
            // One too many is not seen, and may be sent again.
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let (verdicts, asked) = self.keyring.check(headers, body).await;
        if let Err(error) = asked {
            note_unknown(&error);
        }
        let id = text(headers, &HeaderName::from_static(HEADER_WEBHOOK_ID));
        let delivery = Delivery {
            at: clock::system(),
            path: uri.to_string(),
            event: text(headers, &EVENT),
            repeated: id.as_ref().is_some_and(|id| !self.seen.insert(id.clone())),
            id,
            verdicts,
            body: body.to_vec(),
            answered: self.answer,
        };
        self.arrived += 1;
        self.doubtful += u64::from(!delivery.verdicts.are_valid());
        self.broken = self.print(&delivery).err();
        if self.broken.is_some() || self.wanted == Some(self.arrived) {
            self.ended.send_replace(true);
        }
        self.answer
    }

    fn print(&self, delivery: &Delivery) -> io::Result<()> {
        let text = if self.json { delivery.json_line() } else { delivery.block() };
        let mut output = io::stdout().lock();
        output.write_all(text.as_bytes())?;
        output.flush()
    }

    fn outcome(&mut self) -> Result<(), BoxError> {
        let Self { arrived, doubtful, .. } = self;
        if let Some(error) = self.broken.take() {
            return Err(error.into());
        }
        match self.wanted {
            Some(wanted) if *arrived < wanted => {
                Err(format!("{arrived} of {wanted} deliveries have arrived").into())
            }
            Some(_) if *doubtful > 0 => {
                Err(format!("signatures of {doubtful} of {arrived} deliveries are not valid")
                    .into())
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
