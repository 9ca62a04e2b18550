//! Confirms that a Gmail mailbox may forward to us.

use std::time::Duration;

use reqwest::{Client, Method, Response, header::LOCATION};
use spelter::{error::BoxError, http::client, mail::gmail};
use url::Url;

/// Google answers within a second. Two questions with all their redirections take less than the function has.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Pages that lead on to another one, on Google's own hosts only.
const MAX_REDIRECTS: usize = 3;

/// The page with the button is a tenth of it.
const MAX_PAGE_BYTES: usize = 64 * 1024;

/// Where confirmations go.
pub struct Forwarding {
    http: Client,
    /// Stands for Google's hosts, if it is not them.
    stand_in: Option<Url>,
}

impl Forwarding {
    /// Goes to Google, or to what stands in for Google's hosts.
    pub fn new(stand_in: Option<Url>) -> Result<Self, BoxError> {
        Ok(Self { http: client::build(TIMEOUT)?, stand_in })
    }

    /// Confirms by `link`, which was checked: whether Google took it. Asks as the button on Google's page does, and then
    /// as its mail does. A host that does not answer or is out of order is an error: try again later.
    pub async fn confirm(&self, link: &Url) -> Result<bool, BoxError> {
        for method in [Method::POST, Method::GET] {
            let response = self.follow(method, link.clone()).await?;
            if response.status().is_server_error() {
                return Err(format!("Gmail answered {}", response.status()).into());
            }
            if response.status().is_success() && !asks(response).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The page behind `link`, or the redirection that leads to where we do not go.
    async fn follow(&self, method: Method, mut link: Url) -> Result<Response, BoxError> {
        let mut response = self.ask(method.clone(), &link).await?;
        for _ in 0..MAX_REDIRECTS {
            let Some(next) = next(&link, &response) else { break };
            link = next;
            // One of Google's hosts leads to the other, and only a POST to that one confirms.
            response = self.ask(method.clone(), &link).await?;
        }
        Ok(response)
    }

    async fn ask(&self, method: Method, link: &Url) -> Result<Response, BoxError> {
        let sent = self.http.request(method, self.at(link)).send().await;
        // The link is as good as a key to the mailbox's forwarding.
        Ok(sent.map_err(reqwest::Error::without_url)?)
    }

    fn at(&self, link: &Url) -> Url {
        let Some(stand_in) = &self.stand_in else { return link.clone() };
        let mut url = stand_in.clone();
        url.set_path(link.path());
        url.set_query(link.query());
        url
    }
}

/// Whether a page still has the button. It is read as far as that matters.
async fn asks(mut page: Response) -> Result<bool, BoxError> {
    let mut read = Vec::new();
    while read.len() < MAX_PAGE_BYTES
        && let Some(more) = page.chunk().await.map_err(reqwest::Error::without_url)?
    {
        read.extend_from_slice(&more);
    }
    let page = String::from_utf8_lossy(&read).to_ascii_lowercase();
    Ok(page.contains("<form") && page.contains("method=\"post\""))
}

/// Where a redirection leads, if that may be asked.
fn next(link: &Url, response: &Response) -> Option<Url> {
    if !response.status().is_redirection() {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    link.join(location).ok().filter(gmail::is_confirmation)
}
