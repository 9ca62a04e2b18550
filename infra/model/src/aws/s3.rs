//! S3, as far as mails are read from it.

use super::Answer;
use crate::world::World;

/// The object whose URI is `uri`.
pub fn answer(world: &World, uri: &str) -> Answer {
    let name = uri.rsplit('/').next().unwrap_or_default();
    match world.mails.get(name) {
        Some(mail) => Answer::ok(mail.clone()),
        None => Answer { status: 404, body: error("NoSuchKey") },
    }
}

/// The answer to who may not ask.
pub fn denied() -> String {
    error("AccessDenied")
}

fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>")
}
