//! What can be done at which retailer: the one table of the v1 document's scattered lists.

use super::RetailerCode;

/// What the v1 document says of one retailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a table of what can be done")]
pub struct Row {
    /// Its name, for people.
    pub name: &'static str,
    /// Where it is, ISO 3166; `None` for one that is not of one country.
    pub country: Option<&'static str>,
    /// Takes orders.
    pub orders: bool,
    /// Takes them in a beta that nobody promises anything for.
    pub orders_beta: bool,
    /// Shows details of products.
    pub product_details: bool,
    /// Shows offers of products.
    pub product_prices: bool,
    /// Cancels what has not been shipped.
    pub cancellations: bool,
    /// Makes return labels.
    pub returns: bool,
    /// An account there has a gift balance that can pay.
    pub gift_balance: bool,
    /// Orders can wait for others, to be placed as one.
    pub bundling: bool,
    /// Accounts of ours can buy there from a balance.
    pub addax: bool,
}

/// What every retailer of the document offers, and nothing beyond.
const PLAIN: Row = Row {
    name: "",
    country: None,
    orders: true,
    orders_beta: false,
    product_details: true,
    product_prices: true,
    cancellations: false,
    returns: false,
    gift_balance: false,
    bundling: false,
    addax: false,
};

/// All that there is.
const FULL: Row = Row {
    cancellations: true,
    returns: true,
    gift_balance: true,
    bundling: true,
    addax: true,
    ..PLAIN
};

impl Row {
    const fn of(self, name: &'static str, country: Option<&'static str>) -> Self {
        Self { name, country, ..self }
    }
}

impl RetailerCode {
    /// The retailer's row.
    pub const fn row(self) -> Row {
        match self {
            Self::Aliexpress => PLAIN.of("AliExpress", None),
            Self::Amazon => FULL.of("Amazon", Some("US")),
            Self::AmazonUk => FULL.of("Amazon United Kingdom", Some("GB")),
            Self::AmazonCa => Row { gift_balance: true, ..PLAIN.of("Amazon Canada", Some("CA")) },
            Self::AmazonMx => PLAIN.of("Amazon Mexico", Some("MX")),
            Self::Costco => PLAIN.of("Costco", Some("US")),
            Self::Walmart => {
                Row { orders_beta: true, gift_balance: true, ..PLAIN.of("Walmart", Some("US")) }
            }
        }
    }
}

impl RetailerCode {
    /// One of Amazon's shops: some fields of products and offers are theirs only.
    pub const fn is_amazon(self) -> bool {
        match self {
            Self::Amazon | Self::AmazonUk | Self::AmazonCa | Self::AmazonMx => true,
            Self::Aliexpress | Self::Costco | Self::Walmart => false,
        }
    }

    /// Whether an order can be cancelled there.
    pub const fn offers_cancellations(self) -> bool {
        self.row().cancellations
    }

    /// Whether a return can be started there.
    pub const fn offers_returns(self) -> bool {
        self.row().returns
    }

    /// Whether a gift balance can pay there.
    pub const fn offers_gift_balance(self) -> bool {
        self.row().gift_balance
    }

    /// Whether orders can be bundled there.
    pub const fn offers_bundling(self) -> bool {
        self.row().bundling
    }

    /// Whether an order can be placed there with an account of ours.
    pub const fn offers_addax(self) -> bool {
        self.row().addax
    }
}

#[cfg(test)]
mod tests {
    use RetailerCode as R;

    use super::*;

    fn with(feature: impl Fn(R) -> bool) -> Vec<R> {
        R::ALL.into_iter().filter(|retailer| feature(*retailer)).collect()
    }

    #[test]
    fn the_table_is_the_documents() {
        assert_eq!(with(R::offers_gift_balance), [R::Amazon, R::AmazonUk, R::AmazonCa, R::Walmart]);
        for feature in
            [R::offers_cancellations, R::offers_returns, R::offers_bundling, R::offers_addax]
        {
            assert_eq!(with(feature), [R::Amazon, R::AmazonUk]);
        }
        assert_eq!(with(|retailer| retailer.row().orders_beta), [R::Walmart]);
        for feature in [
            |row: Row| row.orders,
            |row: Row| row.product_details,
            |row: Row| row.product_prices,
            |row: Row| !row.name.is_empty(),
        ] {
            assert_eq!(with(|retailer| feature(retailer.row())), R::ALL);
        }
    }
}
