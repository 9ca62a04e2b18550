//! `GET /v1/labels/{label_id}` is a return label as a PDF file.
//!
//! Anybody may fetch it who knows its address: a printer has no client key, and 256 random bits cannot be guessed.

use spelter::{
    aws::labels::Labels,
    clock::Clock,
    error::ApiError,
    http::{File, PublicFile, Request},
    id::{self, Kind},
};

/// What this function may touch.
pub struct GetLabel {
    /// The labels.
    pub labels: Labels,
    /// The time.
    pub now: Clock,
}

impl PublicFile for GetLabel {
    async fn handle(&self, request: Request) -> Result<File, ApiError> {
        let id = request.id::<id::Label>("label_id")?;
        let label = self.labels.get(&id).await?.filter(|label| label.is_kept((self.now)()));
        let label = label.ok_or(ApiError::NotFound(id::Label::NAME))?;
        Ok(File { content_type: "application/pdf", bytes: label.pdf })
    }
}
