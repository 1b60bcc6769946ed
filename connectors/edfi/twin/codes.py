"""Which core code values stand for the facts of the district, in each data standard."""

GRADES = {
    "KG": "Kindergarten",
    "01": "First grade",
    "02": "Second grade",
    "03": "Third grade",
    "04": "Fourth grade",
    "05": "Fifth grade",
    "06": "Sixth grade",
    "07": "Seventh grade",
    "08": "Eighth grade",
    "09": "Ninth grade",
    "10": "Tenth grade",
    "11": "Eleventh grade",
    "12": "Twelfth grade",
}
SUBJECTS = {
    "english": "English Language Arts",
    "reading": "Reading",
    "mathematics": "Mathematics",
    "science": "Science",
    "social_studies": "Social Studies",
    "arts": "Fine and Performing Arts",
    "physical_education": "Physical, Health, and Safety Education",
    "career": "Career and Technical Education",
}
CATEGORIES = {
    "diagnostic": "Diagnostic",
    "interim": "Interim",
    "summative_state": "State summative assessment 3-8 general",
    "interest_inventory": "Interest inventory",
}
LEVELS = {"below": "Below Basic", "approaching": "Basic", "meets": "Proficient", "exceeds": "Advanced"}
# Ed-Fi: these code values were respelled between Data Standards 3.3/4.0 and 5.
RACES_BEFORE_5 = {
    "american_indian": "American Indian - Alaska Native",
    "asian": "Asian",
    "black": "Black - African American",
    "pacific_islander": "Native Hawaiian - Pacific Islander",
    "white": "White",
}
RACES_FROM_5 = {
    "american_indian": "American Indian or Alaska Native",
    "asian": "Asian",
    "black": "Black or African American",
    "pacific_islander": "Native Hawaiian or Pacific Islander",
    "white": "White",
}
ROLES_BEFORE_5 = {
    "teacher": "Teacher",
    "principal": "Principal",
    "counselor": "School Counselors",
    "district_administrator": "LEA Administrator",
}
ROLES_FROM_5 = ROLES_BEFORE_5 | {"counselor": "School Counselor"}
