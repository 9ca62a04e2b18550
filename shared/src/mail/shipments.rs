//! What a mail about a shipment says: the orders, the carrier, the tracking number.

use std::{collections::BTreeSet, sync::LazyLock};

use regex::{Regex, RegexBuilder};

use super::{
    message::Mail,
    senders::{Brand, Sender},
};

/// Orders that are on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// The retailer's own ids of the orders, at least one, sorted.
    pub merchant_order_ids: Vec<String>,
    /// Who brings it, by the name that [`CARRIERS`] gives.
    pub carrier: Option<String>,
    /// The carrier's number.
    pub tracking_number: Option<String>,
}

/// How far a mail is searched, in bytes of its texts. What it is about stands above what it advertises.
const MAX_TEXT_BYTES: usize = 64 * 1024;

/// How subjects of mails about a shipment begin. A delivery that is done or late is not news of a number.
const SUBJECTS: &str = r"^(?:(?:amazon|walmart|costco|aliexpress)(?:\.[a-z.]+)?[ :-]+)?(?:shipped\b|dispatched\b|on the way\b|arriving\b|your (?:sandbox |(?:amazon|walmart|costco|aliexpress)(?:\.[a-z.]+)? )?(?:order|package|item|shipment)s?\b.*\b(?:has|have|was|were|is|are) (?:been )?(?:shipped|dispatched|on its way|on the way|out for delivery)|order [0-9]{16}: order shipped|order .*\b(?:has|was|is) (?:been )?(?:shipped|dispatched)|enviado\b|(?:tu|su|o seu|seu) (?:pedido|paquete|pacote)\b.*(?:enviado|en camino|a caminho)|versandt\b|versandbestätigung|(?:deine|ihre) (?:bestellung|sendung)\b.*(?:versandt|verschickt|unterwegs)|expédié|votre (?:commande|colis)\b.*(?:expédié|en route|en chemin)|spedito\b|il tuo (?:ordine|pacco)\b.*(?:spedito|in arrivo)|発送|.*(?:発送(?:のお知らせ|されました|済み))|verzonden\b|(?:je|uw) (?:bestelling|pakket)\b.*(?:verzonden|onderweg))";

/// The ids of orders, by sender. They are taken from texts whole.
const fn order_ids(sender: Sender) -> Option<&'static str> {
    match sender {
        // Three groups; digital orders begin with D.
        Sender::Retailer(Brand::Amazon) | Sender::Sandbox => {
            Some(r"\b(?:[0-9]{3}|D[0-9]{2})-[0-9]{7}-[0-9]{7}\b")
        }
        Sender::Retailer(Brand::Walmart) => Some(r"\b[0-9]{7}-[0-9]{6,8}\b"),
        // Plain numbers count only after the word.
        Sender::Retailer(Brand::Costco) => {
            Some(r"\border (?:number|no\.?|#)? ?[:#]? ?([0-9]{9,11})\b")
        }
        Sender::Retailer(Brand::Aliexpress) => Some(
            r"\b(?:order|pedido|commande|заказ)(?: (?:number|id|no\.?|n°))? ?[:#]? ?([0-9]{16})\b",
        ),
        Sender::Google => None,
    }
}

/// Carriers as mails spell them (a pattern), and as the API names them.
const CARRIERS: [(&str, &str); 29] = [
    ("ups mail innovations", "UPS Mail Innovations"),
    ("ups", "UPS"),
    ("usps|u\\.s\\. postal service|united states postal service", "USPS"),
    ("fedex", "FedEx"),
    ("dhl", "DHL"),
    ("amazon(?: logistics)?|amzl|swa", "Amazon Logistics"),
    ("ontrac", "OnTrac"),
    ("lasership", "LaserShip"),
    ("royal mail", "Royal Mail"),
    ("evri|hermes", "Evri"),
    ("dpd", "DPD"),
    ("gls", "GLS"),
    ("canada post|postes canada", "Canada Post"),
    ("purolator", "Purolator"),
    ("estafeta", "Estafeta"),
    ("correos express|correos", "Correos"),
    ("correios", "Correios"),
    ("seur", "SEUR"),
    ("colissimo|la poste", "Colissimo"),
    ("chronopost", "Chronopost"),
    ("poste italiane", "Poste Italiane"),
    ("brt|bartolini", "BRT"),
    ("postnl", "PostNL"),
    ("ヤマト運輸|yamato", "Yamato"),
    ("佐川急便|sagawa", "Sagawa"),
    ("日本郵便|japan post", "Japan Post"),
    ("cainiao", "Cainiao"),
    ("yanwen", "Yanwen"),
    ("4px", "4PX"),
];

const CARRIER_LABELS: &str = "carrier|shipped (?:with|via|by)|dispatched (?:with|via|by)|sent (?:with|via|by)|transportista|mensajería|versanddienst(?:leister)?|zusteller|versand durch|transporteur|corriere|配送業者|運送会社|transportadora|vervoerder|bezorger";

const TRACKING_LABELS: &str = "tracking (?:number|id|no\\.?|code)|número de (?:rastreo|seguimiento|rastreamento|guía)|código de (?:rastreio|rastreamento|seguimiento)|sendungs(?:verfolgungs)?nummer|tracking-?nummer|trackingcode|numéro de suivi|numero di (?:tracking|tracciamento|spedizione)|codice di tracciamento|(?:お問い合わせ)?伝票番号|追跡番号|volgnummer";

struct Patterns {
    subject: Regex,
    tracking: Regex,
    carriers: Vec<(Regex, &'static str)>,
}

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(Patterns::new);

impl Patterns {
    /// `None` only if a pattern is broken, which a test excludes.
    fn new() -> Option<Self> {
        let carriers = CARRIERS.iter().map(|(spelling, name)| {
            let pattern =
                format!(r"(?:{CARRIER_LABELS})[ :：]{{0,3}}(?:{spelling})(?:[^\p{{L}}\p{{N}}]|$)");
            Some((regex(&pattern)?, *name))
        });
        Some(Self {
            subject: regex(SUBJECTS)?,
            tracking: regex(&format!(
                r"(?:{TRACKING_LABELS})[ \n:：#]{{0,4}}([0-9A-Z][0-9A-Z-]{{7,33}})(?:[^\p{{L}}\p{{N}}-]|$)"
            ))?,
            carriers: carriers.collect::<Option<_>>()?,
        })
    }
}

fn regex(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).case_insensitive(true).multi_line(false).build().ok()
}

/// The orders' ids in `text`.
fn ids(pattern: &Regex, text: &str) -> Vec<String> {
    let found = pattern.captures_iter(text);
    found
        .filter_map(|found| found.get(1).or_else(|| found.get(0)))
        .map(|id| id.as_str().to_owned())
        .collect()
}

/// The shipment that `sender` announces in a mail that it vouched for. Carrier and number are left out where the mail
/// names several: it does not say which is whose.
pub fn shipment(sender: Sender, mail: &Mail) -> Option<Shipment> {
    let patterns = PATTERNS.as_ref()?;
    if !patterns.subject.is_match(&mail.subject) {
        return None;
    }
    // There are few senders and fewer such mails, so each one compiles its pattern.
    let pattern = order_ids(sender).and_then(regex)?;
    let texts = mail.searched(MAX_TEXT_BYTES);
    let orders: BTreeSet<String> = texts.iter().flat_map(|text| ids(&pattern, text)).collect();
    if orders.is_empty() {
        return None;
    }
    let numbers = texts.iter().flat_map(|text| patterns.tracking.captures_iter(text));
    let numbers: BTreeSet<String> = numbers
        .filter_map(|found| found.get(1))
        .map(|number| number.as_str().to_uppercase())
        .filter(|number| is_tracking_number(number) && !orders.contains(number))
        .collect();
    let tracking_number = only(numbers);
    let named = patterns
        .carriers
        .iter()
        .filter(|(carrier, _)| texts.iter().any(|text| carrier.is_match(text)));
    let carrier = only(named.map(|(_, name)| (*name).to_owned()).collect())
        .or_else(|| tracking_number.as_deref().and_then(carrier_of).map(ToOwned::to_owned));
    Some(Shipment { merchant_order_ids: orders.into_iter().collect(), carrier, tracking_number })
}

fn only(found: BTreeSet<String>) -> Option<String> {
    let mut found = found.into_iter();
    found.next().filter(|_| found.next().is_none())
}

/// At least six digits: what follows the words may be "will be sent" as well.
fn is_tracking_number(text: &str) -> bool {
    text.bytes().filter(u8::is_ascii_digit).count() >= 6
}

/// The carrier whose numbers only look like this.
fn carrier_of(number: &str) -> Option<&'static str> {
    let is = |prefix: &str, length: usize| number.starts_with(prefix) && number.len() == length;
    if is("1Z", 18) {
        Some("UPS")
    } else if ["TBA", "TBM", "TBC"].iter().any(|prefix| is(prefix, 15)) {
        Some("Amazon Logistics")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::message;

    fn mail(subject: &str, text: &str) -> Mail {
        let raw = format!(
            "From: a@b.example\r\nSubject: {subject}\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}"
        );
        message::parse(raw.as_bytes()).unwrap()
    }

    #[test]
    fn all_patterns_are_patterns() {
        assert!(PATTERNS.is_some());
        for brand in Brand::ALL {
            assert!(order_ids(Sender::Retailer(brand)).and_then(regex).is_some(), "{brand:?}");
        }
    }

    #[test]
    fn several_numbers_are_none_but_their_orders_are_known() {
        let text = "Order: 112-1234567-1234567\nTracking number: 1Z999AA10123456784\nTracking ID: TBA123456789012";
        let shipment =
            shipment(Sender::Retailer(Brand::Amazon), &mail("Shipped: 2 items", text)).unwrap();
        assert_eq!(shipment.merchant_order_ids, ["112-1234567-1234567"]);
        assert_eq!((shipment.carrier, shipment.tracking_number), (None, None));
    }

    #[test]
    fn a_mail_about_something_else_is_no_shipment() {
        let text = "Order: 112-1234567-1234567\nTracking number: 1Z999AA10123456784";
        let amazon = Sender::Retailer(Brand::Amazon);
        for subject in
            ["Delivered: 2 items", "Your order of shipped things", "Refund for your order"]
        {
            assert_eq!(shipment(amazon, &mail(subject, text)), None, "{subject}");
        }
        assert_eq!(
            shipment(amazon, &mail("Shipped: 2 items", "Tracking number: 1Z999AA10123456784")),
            None
        );
        assert_eq!(shipment(Sender::Google, &mail("Shipped: 2 items", text)), None);
    }

    #[test]
    fn what_is_no_number_is_not_taken_for_one() {
        let text = "Order: 112-1234567-1234567\nYour tracking number: available tomorrow.\nCarrier: Upsala Post";
        let shipment =
            shipment(Sender::Retailer(Brand::Amazon), &mail("Shipped: a thing", text)).unwrap();
        assert_eq!((shipment.carrier, shipment.tracking_number), (None, None));
    }
}
