//! The SMTP protocol, for whoever takes mail here.

use smtp_proto::{
    EXT_8BIT_MIME, EXT_ENHANCED_STATUS_CODES, EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8,
    EhloResponse, Error, Request, Response,
    request::receiver::{DataReceiver, RequestReceiver},
};
use std::{io, net::IpAddr, slice::Iter, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    time::timeout,
};

/// Largest mail, headers and all: what SES takes.
pub(super) const LIMIT_BYTES: usize = 40 * 1024 * 1024;
/// Most recipients of one mail: what SES takes.
const RECIPIENTS: usize = 100;
/// A client that says nothing for this long is gone.
const IDLE_LIMIT: Duration = Duration::from_mins(5);
/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Who a mail is from and for, as SMTP says; its headers may say something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    /// What the client calls itself.
    pub(super) helo: String,
    /// The client's address.
    pub(super) client: IpAddr,
    /// Where errors go; empty for nowhere.
    pub(super) sender: String,
    /// Who gets it.
    pub(super) recipients: Vec<String>,
}

/// Who takes mail.
pub(super) trait Receiver: Send + Sync + 'static {
    /// Whether mail for this address is taken.
    fn takes(&self, recipient: &str) -> bool;

    /// Takes a mail; its id, or why it may be tried again later.
    fn receive(
        &self,
        envelope: Envelope,
        raw: Vec<u8>,
    ) -> impl Future<Output = Result<String, String>> + Send;
}

/// Serves every client, for as long as the task lives.
pub(super) async fn serve<R: Receiver>(listener: TcpListener, receiver: Arc<R>) {
    loop {
        if let Ok((stream, peer)) = listener.accept().await {
            let session = Session {
                receiver: Arc::clone(&receiver),
                client: peer.ip(),
                helo: None,
                sender: None,
                recipients: Vec::new(),
                data: None,
            };
            // A client that breaks off has heard nothing of its last mail, and sends it again.
            tokio::spawn(session.run(stream));
        }
    }
}

/// One client.
struct Session<R> {
    receiver: Arc<R>,
    client: IpAddr,
    helo: Option<String>,
    sender: Option<String>,
    recipients: Vec<String>,
    data: Option<Data>,
}

/// A mail on its way.
struct Data {
    state: DataReceiver,
    raw: Vec<u8>,
    too_large: bool,
}

impl Data {
    fn new() -> Self {
        let mut state = DataReceiver::new();
        // The line end of the command: a mail may be a single dot.
        state.ingest(&mut b"\r\n".iter(), &mut Vec::new());
        Self { state, raw: Vec::new(), too_large: false }
    }

    /// Reads on; whether the mail is complete. Of one that is too large nothing is kept.
    fn read(&mut self, bytes: &mut Iter<'_, u8>) -> bool {
        let complete = self.state.ingest(bytes, &mut self.raw);
        if self.raw.len() > LIMIT_BYTES {
            self.too_large = true;
            self.raw.clear();
        }
        complete
    }
}

/// What a command does to the connection.
enum Next {
    Answer(Answer),
    Greet,
    Close,
}

type Answer = (u16, [u8; 3], String);

impl<R: Receiver> Session<R> {
    async fn run(mut self, stream: TcpStream) -> io::Result<()> {
        let (mut reader, mut writer) = stream.into_split();
        writer.write_all(format!("220 {} ESMTP\r\n", host()).as_bytes()).await?;
        let mut requests = RequestReceiver::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let read = timeout(IDLE_LIMIT, reader.read(&mut chunk)).await;
            let count = read.map_err(|_| io::ErrorKind::TimedOut)??;
            if count == 0 {
                return Ok(());
            }
            let mut bytes = chunk.get(..count).unwrap_or_default().iter();
            loop {
                if let Some(data) = &mut self.data {
                    if !data.read(&mut bytes) {
                        break;
                    }
                    let answer = self.end_data().await;
                    write(&mut writer, answer).await?;
                    continue;
                }
                let next = match requests.ingest(&mut bytes) {
                    Ok(request) => self.command(request.into_owned()),
                    Err(Error::NeedsMoreData { .. }) => break,
                    Err(error) => Next::Answer(refusal(&error)),
                };
                match next {
                    Next::Answer(answer) => write(&mut writer, answer).await?,
                    Next::Greet => greet(&mut writer).await?,
                    Next::Close => {
                        return write(&mut writer, answer(221, [2, 0, 0], "bye")).await;
                    }
                }
            }
        }
    }

    fn command(&mut self, request: Request<String>) -> Next {
        Next::Answer(match request {
            Request::Ehlo { host } => {
                self.reset();
                self.helo = Some(host);
                return Next::Greet;
            }
            Request::Helo { host } => {
                self.reset();
                self.helo = Some(host);
                answer(250, [2, 0, 0], "hello")
            }
            Request::Mail { from } => self.mail(from.address, from.size),
            Request::Rcpt { to } => self.recipient(to.address),
            Request::Data if self.recipients.is_empty() => {
                answer(503, [5, 5, 1], "MAIL and RCPT come first")
            }
            Request::Data => {
                self.data = Some(Data::new());
                answer(354, [3, 0, 0], "go on, and end with a single dot")
            }
            Request::Rset => {
                self.reset();
                answer(250, [2, 0, 0], "reset")
            }
            Request::Noop { .. } => answer(250, [2, 0, 0], "ok"),
            Request::Quit => return Next::Close,
            Request::Vrfy { .. } => answer(252, [2, 5, 0], "send it, and see"),
            _ => answer(502, [5, 5, 1], "not here"),
        })
    }

    fn reset(&mut self) {
        self.sender = None;
        self.recipients.clear();
    }

    fn mail(&mut self, sender: String, size: usize) -> Answer {
        if self.helo.is_none() {
            return answer(503, [5, 5, 1], "EHLO comes first");
        }
        if self.sender.is_some() {
            return answer(503, [5, 5, 1], "one MAIL at a time");
        }
        if size > LIMIT_BYTES {
            return too_large();
        }
        self.sender = Some(sender);
        answer(250, [2, 1, 0], "ok")
    }

    fn recipient(&mut self, recipient: String) -> Answer {
        if self.sender.is_none() {
            return answer(503, [5, 5, 1], "MAIL comes first");
        }
        if self.recipients.len() >= RECIPIENTS {
            return answer(452, [4, 5, 3], "too many recipients");
        }
        if !self.receiver.takes(&recipient) {
            return answer(550, [5, 1, 1], "mailbox does not exist");
        }
        self.recipients.push(recipient);
        answer(250, [2, 1, 5], "ok")
    }

    async fn end_data(&mut self) -> Answer {
        let data = self.data.take();
        let envelope = Envelope {
            helo: self.helo.clone().unwrap_or_default(),
            client: self.client,
            sender: self.sender.take().unwrap_or_default(),
            recipients: std::mem::take(&mut self.recipients),
        };
        match data {
            Some(Data { too_large: false, raw, .. }) => {
                match self.receiver.receive(envelope, raw).await {
                    Ok(id) => (250, [2, 6, 0], format!("ok {id}")),
                    Err(reason) => (451, [4, 3, 0], reason),
                }
            }
            _ => too_large(),
        }
    }
}

fn answer(code: u16, status: [u8; 3], text: &str) -> Answer {
    (code, status, text.to_owned())
}

fn too_large() -> Answer {
    answer(552, [5, 3, 4], "message size exceeds fixed limit")
}

fn refusal(error: &Error) -> Answer {
    match error {
        Error::InvalidSenderAddress => answer(501, [5, 1, 7], "bad sender address"),
        Error::InvalidRecipientAddress => answer(501, [5, 1, 3], "bad recipient address"),
        Error::SyntaxError { syntax } => (501, [5, 5, 2], format!("syntax: {syntax}")),
        Error::InvalidParameter { param } => (501, [5, 5, 4], format!("bad parameter: {param}")),
        Error::UnsupportedParameter { param } => {
            (504, [5, 5, 4], format!("unknown parameter: {param}"))
        }
        _ => answer(500, [5, 5, 1], "unknown command"),
    }
}

async fn greet(writer: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut response = EhloResponse::new(host());
    response.capabilities =
        EXT_8BIT_MIME | EXT_ENHANCED_STATUS_CODES | EXT_PIPELINING | EXT_SIZE | EXT_SMTP_UTF8;
    response.size = LIMIT_BYTES;
    let mut text = Vec::new();
    response.write(&mut text)?;
    writer.write_all(&text).await
}

async fn write(writer: &mut OwnedWriteHalf, answer: Answer) -> io::Result<()> {
    let (code, [class, subject, detail], text) = answer;
    let mut line = Vec::new();
    Response::new(code, class, subject, detail, text).write(&mut line)?;
    writer.write_all(&line).await
}

/// What SES calls its servers.
pub(super) fn host() -> String {
    format!("inbound-smtp.{}.amazonaws.com", crate::intrinsics::REGION)
}
