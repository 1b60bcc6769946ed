"""What a planner never needs: every such field the standards allow, filled with one given text."""

from dataclasses import dataclass, field

from connectors.edfi.twin.collection import Row
from connectors.edfi.twin.wire import coded

# Ed-Fi: birthCity, apartmentRoomSuiteNumber and the like take no more.
_LONGEST = 17


@dataclass(frozen=True)
class Planted:
    """Further properties by resource, and further student identification codes; by default none.

    `organization` is for what an agency knows of a student; `demographics` and `directory` for what stands apart from
    that, and from staff, in Data Standard 6.
    """

    student: Row = field(default_factory=dict)
    staff: Row = field(default_factory=dict)
    contact: Row = field(default_factory=dict)
    organization: Row = field(default_factory=dict)
    demographics: Row = field(default_factory=dict)
    enrollment: Row = field(default_factory=dict)
    directory: Row = field(default_factory=dict)
    sitting: Row = field(default_factory=dict)
    student_codes: list[Row] = field(default_factory=list)


def planted(text: str | None, *, namespace: str, standard: str) -> Planted:
    """`text` in every droppable field, also as the code value of descriptors in the district's namespace."""
    five, six = standard >= "5", standard >= "6"
    if text is None:
        return Planted()
    if not 2 <= len(text) <= _LONGEST:
        raise ValueError(f"a planted text has 2 to {_LONGEST} characters, or it would not fit every field")

    def code(name: str, role: str = "") -> Row:
        return coded(name, text, role=role, namespace=namespace)

    document = {
        **code("IdentificationDocumentUse"),
        **code("PersonalInformationVerification"),
        **code("Country", "issuer"),
        "documentExpirationDate": "2030-01-31",
        "documentTitle": text,
        "issuerDocumentIdentificationCode": text,
        "issuerName": text,
    }
    documents = {"identificationDocuments": [document], "personalIdentificationDocuments": [document]}
    where = {
        "addresses": [
            {
                **code("AddressType"),
                **code("StateAbbreviation"),
                **code("Locale"),
                "city": text,
                "postalCode": text,
                "streetNumberName": text,
                "apartmentRoomSuiteNumber": text,
                "nameOfCounty": text,
            }
        ],
        "internationalAddresses": [{**code("AddressType"), **code("Country"), "addressLine1": text}],
    }
    origins = {
        "ancestryEthnicOrigins": [code("AncestryEthnicOrigin")],
        "tribalAffiliations": [code("TribalAffiliation")],
    }
    civil = {**code("CitizenshipStatus"), "visas": [code("Visa")]}
    names = {
        "maidenName": text,
        "otherNames": [{**code("OtherNameType"), "firstName": text, "lastSurname": text}],
        "personReference": {"personId": text, **code("SourceSystem")},
    }
    telephones = {"telephones": [{"telephoneNumber": text, **code("TelephoneNumberType")}]}
    gender = {"genderIdentity": text} if five else {}
    former = {} if five else code("OldEthnicity")
    people = {**names, **documents}
    if six:
        people.pop("identificationDocuments")
    origin = {**origins, **gender, **former}
    identity = {**civil, "identificationDocuments": [document]}
    disabilities = {"disabilities": [{**code("Disability"), "disabilityDiagnosis": text}]}
    directory = {**where, **telephones}
    return Planted(
        student={
            **people,
            **({} if six else civil),
            **code("Country", "birth"),
            **code("Sex", "birth"),
            **code("StateAbbreviation", "birth"),
            "birthCity": text,
            "birthInternationalProvince": text,
        },
        staff={
            **people,
            **({} if six else {**civil, **origin, **directory}),
            **code("LevelOfEducation", "highestCompleted"),
            "loginId": text,
            "recognitions": [{**code("RecognitionType"), "recognitionDescription": text}],
        },
        contact={
            "personalIdentificationDocuments": [document],
            **names,
            **where,
            **gender,
            **code("LevelOfEducation", "highestCompleted"),
            "loginId": text,
        },
        organization={
            **({} if six else {**directory, **origin, **disabilities}),
            "profileThumbnail": text,
            "loginId": text,
        },
        demographics={**origin, **disabilities, **identity},
        directory=directory,
        enrollment={**code("ResidencyStatus"), **code("ExitWithdrawType")},
        sitting={**code("EventCircumstance"), "eventDescription": text, "serialNumber": text},
        student_codes=[
            {
                **coded("StudentIdentificationSystem", "SSN"),
                "assigningOrganizationIdentificationCode": text,
                "identificationCode": text,
            }
        ],
    )
