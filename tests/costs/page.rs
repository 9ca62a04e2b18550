//! The tables of `docs/cost.md`.

use std::{collections::BTreeMap, fmt, fs, path::Path};

/// What is called of each service, as the page says it: `3: GetItem, 2 × UpdateItem`, or `0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cells(pub(crate) [String; 3]);

/// The services of the columns, as logs name them.
const SERVICES: [&str; 3] = ["dynamodb", "kms", "sqs"];

impl Cells {
    /// Of a field like `dynamodb:GetItem=1 dynamodb:UpdateItem=2`.
    pub(crate) fn of(calls: &BTreeMap<String, u32>) -> Self {
        let services: Vec<_> = calls.keys().filter_map(|name| name.split_once(':')).collect();
        assert!(services.iter().all(|(service, _)| SERVICES.contains(service)), "{calls:?}");
        Self(SERVICES.map(|service| {
            let own = calls.iter().filter_map(|(name, count)| {
                let operation = name.strip_prefix(service)?.strip_prefix(':')?;
                Some((operation, *count))
            });
            cell(&own.collect::<Vec<_>>())
        }))
    }

    /// How many calls to DynamoDB, to KMS and to SQS.
    pub(crate) fn totals(&self) -> [u32; 3] {
        self.0.each_ref().map(|cell| {
            let total = cell.split(':').next().unwrap_or_default();
            total.parse().unwrap_or_else(|_| panic!("{cell:?} does not begin with a number"))
        })
    }
}

fn cell(calls: &[(&str, u32)]) -> String {
    let total: u32 = calls.iter().map(|(_, count)| count).sum();
    let named = calls.iter().map(|(operation, count)| match count {
        1 => (*operation).to_owned(),
        count => format!("{count} × {operation}"),
    });
    match total {
        0 => "0".to_owned(),
        total => format!("{total}: {}", named.collect::<Vec<_>>().join(", ")),
    }
}

impl fmt::Display for Cells {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(" | "))
    }
}

/// A row of the page.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) heading: String,
    pub(crate) cells: Cells,
    pub(crate) why: String,
}

/// The rows of the page with five columns, by what they are about.
pub(crate) fn rows() -> BTreeMap<String, Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/cost.md");
    let text = fs::read_to_string(path).expect("the page");
    let mut heading = String::new();
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut heading);
        }
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, dynamodb, kms, sqs, why] = cells.as_slice() else { continue };
        if dynamodb.starts_with(|first: char| first.is_ascii_digit()) {
            let cells = Cells([dynamodb, kms, sqs].map(|cell| (*cell).to_owned()));
            let row = Row { heading: heading.clone(), cells, why: (*why).to_owned() };
            assert!(rows.insert((*what).to_owned(), row).is_none(), "{what} is there twice");
        }
    }
    rows
}
