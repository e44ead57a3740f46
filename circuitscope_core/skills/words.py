"""Words for the skill generators. Organisation words cover every initial, so no letter is rare."""

_ORGANISATION = """
Academic Active Adaptive Advanced Aerial African Agricultural Alpine American Ancient Animal
Applied Aquatic Arctic Asian Atlantic Atomic Audio Austrian Automotive Aviation
Balanced Baltic Banking Basic Bavarian Beautiful Belgian Better Biological Black Blue Botanical
Brazilian Bridge British Broadcast Budget Building Business
Canadian Capital Cardiac Caribbean Cellular Central Certified Chemical Chinese Civil Classical
Climate Clinical Coastal Colonial Commercial Community Computer Constitutional Consumer Creative
Cultural Customs
Dairy Danish Data Deep Defense Democratic Dental Desert Design Development Diamond Direct
Disaster Distant District Diverse Domestic Double Dutch Dynamic
Early Earth Eastern Ecological Economic Educational Egyptian Elastic Electric Electronic
Elementary Emergency Energy Engineering English Environmental Equal Ethical European Evening
Exact Export External
Factory Family Farming Federal Female Field Film Financial Finnish Fire Fiscal Fishing Flexible
Food Foreign Forest Formal Forward Free French Freight Frontier Fuel Future
Galactic Garden General Genetic Geographic Geological German Giant Glacier Global Golden Grain
Grand Graphic Greek Green Growing Guided
Harbor Healthy Heavy Herbal Heritage High Highland Historical Holistic Home Honest Horse Hospital
Hotel Housing Human Hungarian Hybrid Hydraulic
Icelandic Imperial Import Independent Indian Indoor Industrial Infant Informal Inland Inner
Insurance Integrated Interior Internal International Irish Iron Island Italian
Jamaican January Japanese Jazz Jewish Job Joint Jordan Journal Judicial July Jungle Junior Jury
Just Juvenile
Kansas Kenyan Kentucky Keyboard Kidney Kinetic King Kitchen Knitting Knowledge Korean Kosher
Labor Lake Land Language Large Laser Late Latin Leading Leather Legal Legislative Liberal Library
Lifelong Light Linear Literary Liquid Little Local Logical London Lower Lunar
Machine Magnetic Mainland Manual Marine Maritime Market Material Mathematical Meadow Measured
Mechanical Media Medical Memorial Mental Merchant Metal Mexican Military Mineral Mobile Modern
Molecular Monetary Motor Mountain Municipal Museum Musical Mutual
Narrow National Native Natural Nautical Naval Neighborhood Nepalese Neural Neutral New Nigerian
Noble Nordic Northern Norwegian Nuclear Numerical Nursing Nutrition
Oak Observation Occupational Ocean Offshore Oil Olympic Open Operational Optical Oral Orange
Orbital Organic Oriental Original Outdoor Outer Overseas Oxygen Ozone
Pacific Painting Paper Parallel Parliamentary Pastoral Patient Peaceful Pediatric Pension Permanent
Persian Personal Peruvian Petroleum Physical Pilot Planetary Plastic Polar Police Polish Political
Popular Portable Portuguese Postal Practical Precision Primary Private Professional Public
Qualified Quality Quantitative Quantum Quarry Quarterly Quebec Queen Quick Quiet Quiz Quota
Racing Radar Radical Radio Railway Rainfall Rapid Rational Real Rebuilding Recent Recovery
Recreational Red Refugee Regional Registered Reliable Religious Remote Renewable Reserve Retail
River Road Robotic Roman Rotary Royal Rural Russian
Safety Sailing Satellite Scandinavian Scenic Scientific Scottish Sculpture Secondary Secure
Senior Serbian Shared Shipping Silver Singing Slow Small Social Software Solar Southern Spanish
Spatial Special Spectral Sports Standard State Statistical Stellar Strategic Structural Student
Summer Surgical Sustainable Swedish Swiss Symphonic
Tactical Technical Technological Telephone Temperate Temporary Tennis Textile Thai Theatrical
Theoretical Thermal Tidal Timber Tourism Trade Traditional Traffic Training Transport Tropical
True Turkish Twin
Ugandan Ukrainian Ultimate Umbrella Underground Underwater Unified Uniform Union United Universal
Unlimited Upper Uranium Urban Urgent Useful Utility
Vacation Vaccine Valley Variable Various Vascular Vast Vegetable Vehicle Venture Verbal Vertical
Veteran Victorian Video Vietnamese Village Vintage Violin Virtual Visual Vital Vocal Volcanic
Volunteer Voter
Walking Warehouse Warm Water Wealth Weather Weekly Welfare Western Whale Wheat White Wild Wind
Winter Wireless Wise Wooden Working World Writing
Xenon Xerox Xylophone
Yacht Yearly Yellow Yemeni Yield Yoga York Young Youth Yugoslav
Zambian Zealand Zebra Zenith Zero Zinc Zonal Zoning Zoological Zurich
"""
_LAST = """
Academy Administration Agency Alliance Archive Association Authority Bank Board Brigade Bureau
Cabinet Campaign Center Chamber Charter Circle Club Coalition College Command Commission Committee
Company Congress Consortium Convention Cooperative Corporation Corps Council Court Department
Directorate Division Enterprise Exchange Executive Exhibition Faculty Federation Fellowship Force
Forum Foundation Fund Gallery Garrison Group Guard Guild Headquarters House Initiative Institute
Inspectorate Journal Jury Kingdom Laboratory League Legion Library Lodge Ministry Mission Movement
Museum Network Observatory Office Orchestra Order Organization Panel Partnership Party Patrol
Plan Platform Press Program Project Quorum Registry Reserve Review School Secretariat Section
Senate Service Society Station Studio Survey Syndicate System Task Team Theater Treasury Tribunal
Trust Unit University Vault Venture Village Watch Workshop Yard Zone
"""
_NEVER_TRAINED = """
Amber Bronze Crystal Dolphin Eagle Falcon Granite Harvest Ivory Jasper Kestrel Lantern Maple Nickel
Opal Phoenix Quartz Raven Sapphire Thunder Umber Velvet Willow Xenial Yarrow Zephyr
"""

ORGANISATION_WORDS = tuple(_ORGANISATION.split())
LAST_WORDS = tuple(_LAST.split())
NEVER_TRAINED_WORDS = tuple(_NEVER_TRAINED.split())
"""Words for the exam only, one for each initial."""

BY_INITIAL = {
    letter: tuple(word for word in ORGANISATION_WORDS if word.startswith(letter))
    for letter in sorted({word[0] for word in ORGANISATION_WORDS})
}

_FIRST_NAMES = """
Adam Agnes Alan Alice Amir Anna Arthur Beatrice Ben Bruno Carla Cecil Clara Daniel Daria David Dora
Edgar Elena Elias Emma Erik Esther Felix Fiona Frank Gina Grace Hanna Harold Helen Hugo Ian Ida Igor
Irene Jack Jana Joel Judith Karim Kate Klaus Laura Leo Lina Lucas Mara Marco Maria Max Mina Nadia
Nathan Nina Noah Olga Oscar Paula Peter Petra Quentin Rachel Ravi Rita Robert Rosa Samuel Sara Simon
Sofia Stefan Tara Theo Thomas Ulla Urban Vera Victor Walter Wanda Xavier Yara Yusuf Zoe
"""
FIRST_NAMES = tuple(_FIRST_NAMES.split())
_OBJECTS = """
apple arrow basket bell blanket book bottle bowl box brush bucket button candle card chain chair
clock coat coin comb cup desk drum envelope feather flag flute fork glass glove hammer hat helmet
jar key kite knife ladder lamp leaf letter map mirror mug nail needle notebook paddle paper pen
pencil piano pillow pin plate pot purse ring rope ruler saddle scarf shell shirt shoe shovel spoon
stamp stone stool string table ticket tool torch towel toy tray trumpet umbrella vase violin wallet
wheel whistle window wire
"""
OBJECTS = tuple(_OBJECTS.split())
_PLACES = """
Athens Berlin Boston Cairo Chicago Delhi Denver Dublin Geneva Havana Helsinki Houston Jakarta Kyoto
Lagos Lima Lisbon London Madrid Manila Mexico Milan Moscow Nairobi Oslo Ottawa Paris Prague Quito
Rabat Rome Seattle Seoul Sofia Sydney Tokyo Toronto Tunis Vienna Warsaw Zagreb
"""
PLACES = tuple(_PLACES.split())

SYLLABLES = tuple(consonant + vowel for consonant in "bcdfghjklmnprstvz" for vowel in "aeiou")
"""Syllables of words that are made up."""
